-- What partners have on record about transfers outside the EEA. Rows are never removed: they are the evidence.
CREATE TABLE transfer_safeguard (
  partner            text        NOT NULL REFERENCES partner,
  id                 uuid        NOT NULL,
  recipient          text        NOT NULL,
  country            text        NOT NULL,
  instrument         int         NOT NULL,
  document_reference text        NOT NULL,
  document_sha256    text        NOT NULL,
  begin_time         timestamptz NOT NULL,
  end_time           timestamptz,
  creator            text        NOT NULL,
  create_time        timestamptz NOT NULL,
  PRIMARY KEY (partner, id)
);
CREATE TABLE transfer_attestation (
  partner            text        NOT NULL REFERENCES partner,
  id                 uuid        NOT NULL,
  country            text        NOT NULL,
  subjects_told_time timestamptz NOT NULL,
  notice_reference   text        NOT NULL,
  notice_sha256      text        NOT NULL,
  attester           text        NOT NULL,
  create_time        timestamptz NOT NULL,
  end_time           timestamptz,
  PRIMARY KEY (partner, id)
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['transfer_safeguard', 'transfer_attestation'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO dsr_{schema}', name);
    EXECUTE format('CREATE INDEX %I ON %I (partner, create_time DESC, id DESC)', name || '_newest', name);
  END LOOP;
END $$;
