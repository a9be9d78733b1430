-- The ledger: one tree for the whole platform, of salted commitments that tell nobody what they are of. Rows are added and
-- never changed: the service's role may not.
CREATE TABLE ledger_node (
  level  smallint NOT NULL CHECK (level BETWEEN 0 AND 62),
  number bigint   NOT NULL CHECK (number >= 0),
  hash   bytea    NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (level, number)
);
CREATE TABLE ledger_checkpoint (
  origin    text        NOT NULL,                -- the name of the key; a ledger with another key is another ledger
  size      bigint      NOT NULL CHECK (size > 0),
  note      text        NOT NULL,
  sign_time timestamptz NOT NULL,
  PRIMARY KEY (origin, size)
);
CREATE TABLE certified (                          -- what was certified to a partner, once each
  partner      text        NOT NULL REFERENCES partner,
  resource     text        NOT NULL CHECK (starts_with(resource, partner || '/')),
  sha256       bytea       NOT NULL CHECK (octet_length(sha256) = 32),
  salt         bytea       NOT NULL CHECK (octet_length(salt) = 32),
  number       bigint      NOT NULL UNIQUE CHECK (number >= 0),
  certify_time timestamptz NOT NULL,
  PRIMARY KEY (partner, resource)
);
ALTER TABLE certified ENABLE ROW LEVEL SECURITY;
ALTER TABLE certified FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON certified TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT ON ledger_node, ledger_checkpoint, certified TO dsr_{schema};
