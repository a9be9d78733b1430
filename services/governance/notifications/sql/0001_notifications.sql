-- Whom a partner wants to be told, what it was told, and which deadlines are watched.
CREATE TABLE contacts (
  partner     text        PRIMARY KEY REFERENCES partner,
  sealed      bytea       NOT NULL,               -- addresses, under a key of their own
  update_time timestamptz NOT NULL
);
CREATE TABLE deadline (                           -- of requests, as the rights services report them
  partner     text        NOT NULL REFERENCES partner,
  request     text        NOT NULL,
  state       text        NOT NULL,
  open        boolean     NOT NULL,
  due_time    timestamptz NOT NULL,
  change_time timestamptz NOT NULL,
  warned      int,                                -- the nearest warning sent for this due_time, in days before it
  PRIMARY KEY (partner, request)
);
CREATE INDEX deadline_next ON deadline (due_time) WHERE open;
ALTER TABLE notice ADD COLUMN kind text NOT NULL DEFAULT '', ADD COLUMN resource text NOT NULL DEFAULT '';
CREATE INDEX notice_newest ON notice (partner, create_time DESC, id DESC);
ALTER TABLE webhook ADD COLUMN previous_secret bytea, ADD COLUMN previous_expire_time timestamptz;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['contacts', 'deadline'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
CREATE POLICY sweep ON deadline FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, request, open, due_time, warned) ON deadline TO dsr_{schema}_sweeper;
