-- Connectors that were proposed for data sources, and who confirmed them.
CREATE TABLE connector_change (
  partner     text        NOT NULL REFERENCES partner,
  id          uuid        NOT NULL,
  source      text        NOT NULL,
  connector   jsonb       NOT NULL,               -- connector_address and connector_identity of dsr.v1.ConnectorChange
  state       text        NOT NULL DEFAULT 'PROPOSED' CHECK (state IN ('PROPOSED', 'CONFIRMED', 'WITHDRAWN')),
  proposer    text        NOT NULL,
  proposers   text[]      NOT NULL,
  confirmer   text,
  create_time timestamptz NOT NULL,
  decide_time timestamptz,
  PRIMARY KEY (partner, id),
  FOREIGN KEY (partner, source) REFERENCES data_source (partner, name)
);
CREATE INDEX connector_change_newest ON connector_change (partner, create_time DESC, id DESC);
CREATE UNIQUE INDEX connector_change_open ON connector_change (partner, source) WHERE state = 'PROPOSED';
ALTER TABLE connector_change ENABLE ROW LEVEL SECURITY;
ALTER TABLE connector_change FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON connector_change TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT ON connector_change TO dsr_{schema};
GRANT UPDATE (state, confirmer, decide_time) ON connector_change TO dsr_{schema};
GRANT UPDATE (body) ON data_source TO dsr_{schema};
