-- Objections to sub-processors, and what requests owe to recipients. Rows of tasks are never removed: they are the evidence.
CREATE TABLE sub_processor_objection (
  partner       text        NOT NULL REFERENCES partner,
  sub_processor text        NOT NULL,
  objector      text        NOT NULL,
  reference     text        NOT NULL,
  object_time   timestamptz NOT NULL,
  PRIMARY KEY (partner, sub_processor)
);
CREATE TABLE recipient_task (
  partner       text        NOT NULL REFERENCES partner,
  id            uuid        NOT NULL,
  request       text        NOT NULL,
  kind          text        NOT NULL CHECK (kind IN ('ERASURE', 'RECTIFICATION', 'RESTRICTION')),
  recipient     text        NOT NULL,
  sub_processor text        NOT NULL,
  collections   text[]      NOT NULL,
  mode          text        NOT NULL CHECK (mode IN ('AUTOMATIC', 'MANUAL')),
  how           text        NOT NULL,
  owner         text        NOT NULL,
  due_time      timestamptz NOT NULL,
  create_time   timestamptz NOT NULL,
  evidence      text        NOT NULL,
  completer     text        NOT NULL,
  complete_time timestamptz,
  PRIMARY KEY (partner, id)
);
CREATE INDEX recipient_task_newest ON recipient_task (partner, create_time DESC, id DESC);
CREATE INDEX recipient_task_request ON recipient_task (partner, request);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['sub_processor_objection', 'recipient_task'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
GRANT UPDATE ON recipient_task TO dsr_{schema};
GRANT DELETE ON sub_processor_objection TO dsr_{schema};
