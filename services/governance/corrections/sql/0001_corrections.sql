-- Rectification, restriction, objection. Personal data stands in `sealed` only, under the request's own key.
CREATE TABLE correction (
  partner           text        NOT NULL REFERENCES partner,
  id                uuid        NOT NULL,
  kind              text        NOT NULL CHECK (kind IN ('RECTIFICATION', 'RESTRICTION', 'OBJECTION')),
  state             text        NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'COMPLETED', 'CANCELLED')),
  creator           text        NOT NULL,
  capacity          text        NOT NULL,
  received_time     timestamptz NOT NULL,
  time_zone         text        NOT NULL,
  due_time          timestamptz NOT NULL,
  extension         jsonb,
  data_map_revision bigint      NOT NULL,
  data_sources      text[]      NOT NULL,
  facts             jsonb       NOT NULL,         -- purposes, effects, ground
  sealed            bytea,                        -- person, and values of a rectification
  effective_time    timestamptz,                  -- of a restriction
  lift_time         timestamptz,
  subject_told_time timestamptz,
  create_time       timestamptz NOT NULL,
  update_time       timestamptz NOT NULL,
  complete_time     timestamptz,
  PRIMARY KEY (partner, id)
);
CREATE INDEX correction_newest ON correction (partner, create_time DESC, id DESC);
CREATE TABLE correction_task (
  partner       text    NOT NULL,
  correction    uuid    NOT NULL,
  source        text    NOT NULL,
  custody       int     NOT NULL,
  owner         text    NOT NULL,
  evidence      text    NOT NULL DEFAULT '',
  completer     text    NOT NULL DEFAULT '',
  complete_time timestamptz,
  PRIMARY KEY (partner, correction, source),
  FOREIGN KEY (partner, correction) REFERENCES correction
);
CREATE TABLE restricted_identity (                -- of restrictions in force
  partner    text  NOT NULL,
  digest     bytea NOT NULL,                      -- keyed HMAC of type and value
  correction uuid  NOT NULL,
  PRIMARY KEY (partner, digest, correction),
  FOREIGN KEY (partner, correction) REFERENCES correction
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['correction', 'correction_task', 'restricted_identity'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
GRANT UPDATE ON correction, correction_task TO dsr_{schema};
GRANT DELETE ON restricted_identity TO dsr_{schema};
