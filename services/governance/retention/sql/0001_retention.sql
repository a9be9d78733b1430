-- Rules by which data counts as unused, sweeps for it, and the erasure requests that came of them.
CREATE TABLE retention_rule (
  partner         text        NOT NULL,
  id              uuid        NOT NULL,
  source          text        NOT NULL,
  collection      text        NOT NULL,
  field           text        NOT NULL,
  identity_type   text        NOT NULL,
  months          int         NOT NULL,
  instruction     jsonb,                          -- dsr.v1.RetentionRule.StandingInstruction
  creator         text        NOT NULL,
  creator_actors  text[]      NOT NULL,
  create_time     timestamptz NOT NULL,
  next_sweep_time timestamptz NOT NULL,
  end_time        timestamptz,
  PRIMARY KEY (partner, id),
  FOREIGN KEY (partner, source) REFERENCES data_source
);
CREATE UNIQUE INDEX retention_rule_in_force ON retention_rule (partner, source) WHERE end_time IS NULL;
CREATE INDEX retention_rule_newest ON retention_rule (partner, create_time DESC, id DESC);
CREATE TABLE retention_sweep (
  partner        text        NOT NULL,
  id             uuid        NOT NULL,
  rule           uuid        NOT NULL,
  source         text        NOT NULL,
  state          text        NOT NULL DEFAULT 'COUNTING'
                 CHECK (state IN ('COUNTING', 'COUNTED', 'APPROVED', 'COMPLETED', 'CANCELLED', 'EXCEEDED', 'FAILED')),
  cutoff_time    timestamptz NOT NULL,
  people         bigint      NOT NULL DEFAULT 0,
  unknown        bigint      NOT NULL DEFAULT 0,
  erased         text[]      NOT NULL DEFAULT '{}',
  kept           text[]      NOT NULL DEFAULT '{}',
  cap            bigint      NOT NULL DEFAULT 0,
  created        bigint      NOT NULL DEFAULT 0,
  approver       text        NOT NULL DEFAULT '',
  standing       boolean     NOT NULL DEFAULT false,
  creator        text        NOT NULL,
  creator_actors text[]      NOT NULL,
  create_time    timestamptz NOT NULL,
  approve_time   timestamptz,
  complete_time  timestamptz,
  PRIMARY KEY (partner, id),
  FOREIGN KEY (partner, rule) REFERENCES retention_rule,
  CHECK (approve_time IS NULL OR approver <> '')
);
CREATE UNIQUE INDEX retention_sweep_open ON retention_sweep (partner, rule) WHERE complete_time IS NULL;
CREATE INDEX retention_sweep_newest ON retention_sweep (partner, create_time DESC, id DESC);
CREATE TABLE retention_request (                  -- erasures approved by a sweep
  partner text NOT NULL,
  request text NOT NULL,
  sweep   uuid NOT NULL,
  PRIMARY KEY (partner, request),
  FOREIGN KEY (partner, sweep) REFERENCES retention_sweep
);
CREATE INDEX retention_request_sweep ON retention_request (partner, sweep);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['retention_rule', 'retention_sweep', 'retention_request'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
GRANT UPDATE ON retention_rule, retention_sweep TO dsr_{schema};
CREATE POLICY sweep ON retention_rule FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, id, next_sweep_time, end_time) ON retention_rule TO dsr_{schema}_sweeper;
CREATE POLICY sweep ON retention_sweep FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, id, state, cap, create_time, complete_time) ON retention_sweep TO dsr_{schema}_sweeper;
