-- The end of a contract: what was returned, what was destroyed, which services have emptied themselves.
CREATE TABLE termination (
  partner        text        NOT NULL REFERENCES partner,
  id             uuid        NOT NULL,
  state          text        NOT NULL DEFAULT 'RETURNING'
                 CHECK (state IN ('RETURNING', 'DESTROYING', 'SNAPSHOTS_LEFT', 'CERTIFIED', 'CANCELLED')),
  creator        text        NOT NULL,
  creator_actors text[]      NOT NULL,
  confirmer      text        NOT NULL DEFAULT '',
  create_time    timestamptz NOT NULL,
  confirm_time   timestamptz,
  effective_time timestamptz,
  certify_time   timestamptz,
  shred_time     timestamptz,
  PRIMARY KEY (partner, id),
  -- Nothing is destroyed before somebody confirmed: not by any mistake above either.
  CHECK (state IN ('RETURNING', 'CANCELLED') OR confirm_time IS NOT NULL)
);
CREATE UNIQUE INDEX termination_one ON termination (partner) WHERE state <> 'CANCELLED';
CREATE TABLE termination_item (
  partner      text        NOT NULL,
  termination  uuid        NOT NULL,
  source       text        NOT NULL,
  packages     jsonb       NOT NULL DEFAULT '[]', -- dsr.v1.Termination.Package
  destroy_time timestamptz,
  evidence     text        NOT NULL DEFAULT '',
  destroyer    text        NOT NULL DEFAULT '',
  PRIMARY KEY (partner, termination, source),
  FOREIGN KEY (partner, termination) REFERENCES termination
);
CREATE TABLE termination_emptied (
  partner     text        NOT NULL,
  termination uuid        NOT NULL,
  service     text        NOT NULL,
  empty_time  timestamptz NOT NULL,
  PRIMARY KEY (partner, termination, service),
  FOREIGN KEY (partner, termination) REFERENCES termination
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['termination', 'termination_item', 'termination_emptied'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
GRANT UPDATE ON termination, termination_item TO dsr_{schema};
CREATE POLICY sweep ON termination FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, id, state, effective_time, shred_time) ON termination TO dsr_{schema}_sweeper;
