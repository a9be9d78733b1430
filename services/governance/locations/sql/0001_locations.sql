-- What operator and partner have agreed about places. Rows are never removed: they are the evidence.
CREATE TABLE location_agreement (
  partner        text        NOT NULL REFERENCES partner,
  id             uuid        NOT NULL,
  use            text        NOT NULL CHECK (use IN ('DATA_SOURCES', 'BUNDLES', 'BACKUPS')),
  source         text        NOT NULL DEFAULT '', -- empty: every data source
  provider       text        NOT NULL,
  site           text        NOT NULL,
  country        text        NOT NULL,
  state          text        NOT NULL CHECK (state IN ('PROPOSED', 'ACCEPTED', 'REJECTED', 'WITHDRAWN')),
  replaces       uuid,
  proposer       text        NOT NULL,
  decider        text,
  create_time    timestamptz NOT NULL,
  effective_time timestamptz NOT NULL,
  decide_time    timestamptz,
  complete_time  timestamptz,
  end_time       timestamptz,
  PRIMARY KEY (partner, id)
);
CREATE INDEX location_agreement_newest ON location_agreement (partner, create_time DESC, id DESC);

-- What is registered already was registered by the partner itself, with its place.
ALTER TABLE data_source NO FORCE ROW LEVEL SECURITY;
INSERT INTO location_agreement (partner, id, use, source, provider, site, country, state, proposer, decider, create_time,
                                effective_time, decide_time)
SELECT partner, gen_random_uuid(), 'DATA_SOURCES', name, body->'location'->>'provider', body->'location'->>'site',
       body->'location'->>'country', 'ACCEPTED', 'contract', 'contract', create_time, create_time, create_time
FROM data_source WHERE body->>'custody' = 'CUSTODY_OPERATOR';
ALTER TABLE data_source FORCE ROW LEVEL SECURITY;

ALTER TABLE location_agreement ENABLE ROW LEVEL SECURITY;
ALTER TABLE location_agreement FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON location_agreement TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT, UPDATE ON location_agreement TO dsr_{schema};
GRANT UPDATE ON data_source TO dsr_{schema};
