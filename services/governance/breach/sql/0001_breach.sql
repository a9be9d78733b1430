-- Personal data breaches. What somebody wrote stands in `sealed` only, under the breach's own key.
CREATE TABLE breach (
  partner      text        NOT NULL REFERENCES partner,
  id           uuid        NOT NULL,
  phase        text        NOT NULL CHECK (phase IN ('SUSPECTED', 'CONFIRMED', 'FIXED', 'CLOSED', 'DISMISSED')),
  natures      int[]       NOT NULL,
  data_sources text[]      NOT NULL,
  begin_time   timestamptz NOT NULL,
  end_time     timestamptz,
  reporter     text        NOT NULL,
  sealed       bytea       NOT NULL,
  aware_time   timestamptz NOT NULL,
  notice_time  timestamptz NOT NULL,
  authority    jsonb,
  subjects     jsonb,
  scope        jsonb,                             -- kept when it is over
  create_time  timestamptz NOT NULL,
  close_time   timestamptz,
  PRIMARY KEY (partner, id)
);
CREATE INDEX breach_newest ON breach (partner, create_time DESC, id DESC);
CREATE TABLE breach_entry (
  partner    text        NOT NULL,
  breach     uuid        NOT NULL,
  number     bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  entry_time timestamptz NOT NULL,
  event      text        NOT NULL,
  actor      text        NOT NULL,
  sealed     bytea,
  PRIMARY KEY (partner, breach, number),
  FOREIGN KEY (partner, breach) REFERENCES breach
);
CREATE TABLE breach_count (
  partner    text        NOT NULL,
  breach     uuid        NOT NULL,
  source     text        NOT NULL,
  subjects   bigint      NOT NULL,
  certainty  text        NOT NULL CHECK (certainty IN ('EXACT', 'ESTIMATED')),
  count_time timestamptz NOT NULL,
  PRIMARY KEY (partner, breach, source),
  FOREIGN KEY (partner, breach) REFERENCES breach
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['breach', 'breach_entry', 'breach_count'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
GRANT UPDATE ON breach, breach_count TO dsr_{schema};
ALTER TABLE breach ADD COLUMN undecided boolean GENERATED ALWAYS AS (authority IS NULL AND close_time IS NULL) STORED;
CREATE POLICY sweep ON breach FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, undecided) ON breach TO dsr_{schema}_sweeper;
