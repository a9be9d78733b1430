-- What may be done: partners, sources, data map, holds, roles, open work, records. {schema} is this service's schema.
CREATE TABLE partner (
  partner     text PRIMARY KEY,
  body        jsonb       NOT NULL,               -- dsr.v1.Partner
  standing    text        NOT NULL DEFAULT 'GOOD' CHECK (standing IN ('GOOD', 'SUSPENDED')),
  create_time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE data_source (
  partner     text        NOT NULL REFERENCES partner,
  name        text        NOT NULL,
  body        jsonb       NOT NULL,               -- dsr.v1.DataSource
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, name)
);
CREATE TABLE data_map (
  partner     text        NOT NULL REFERENCES partner,
  revision    bigint      NOT NULL,
  body        jsonb       NOT NULL,               -- dsr.v1.DataMap
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, revision)
);
CREATE TABLE hold (
  partner         text        NOT NULL REFERENCES partner,
  id              uuid        NOT NULL,
  source          text        NOT NULL,
  collection      text        NOT NULL,
  subject         bytea,                          -- keyed HMAC of the one person it is for
  reason          text        NOT NULL,
  legal_reference text        NOT NULL,
  review_time     timestamptz NOT NULL,
  create_time     timestamptz NOT NULL DEFAULT now(),
  effective_time  timestamptz NOT NULL,
  release_time    timestamptz,
  PRIMARY KEY (partner, id)
);
CREATE TABLE role_grant (
  partner     text        NOT NULL REFERENCES partner,
  id          uuid        NOT NULL,
  grantee     text        NOT NULL,
  role        text        NOT NULL,
  state       text        NOT NULL CHECK (state IN ('PROPOSED', 'CONFIRMED', 'REVOKED')),
  proposer    text        NOT NULL,
  proposers   text[]      NOT NULL DEFAULT '{}',
  confirmer   text,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, id)
);
CREATE TABLE used_token (
  partner     text        NOT NULL REFERENCES partner,
  token_id    text        NOT NULL,
  purpose     text        NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, token_id)
);
CREATE TABLE approval (
  partner     text        NOT NULL REFERENCES partner,
  request     text        NOT NULL,
  plan_digest text        NOT NULL,
  approver    text        NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, request, plan_digest)
);
CREATE TABLE admission (                          -- requests started, for the rolling cap of a principal
  partner     text        NOT NULL REFERENCES partner,
  request_id  uuid        NOT NULL,
  principal   text        NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, request_id)
);
CREATE INDEX admission_principal ON admission (partner, principal, create_time);
CREATE TABLE work (
  partner            text        NOT NULL REFERENCES partner,
  request            text        NOT NULL,
  "right"            int         NOT NULL,
  number             bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  open               boolean     NOT NULL DEFAULT true,
  bundle_expire_time timestamptz,
  create_time        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, request)
);
CREATE TABLE work_identity (
  partner text  NOT NULL,
  request text  NOT NULL,
  digest  bytea NOT NULL,                         -- keyed HMAC of type and value
  PRIMARY KEY (partner, digest, request),
  FOREIGN KEY (partner, request) REFERENCES work
);
CREATE INDEX work_identity_request ON work_identity (partner, request);
CREATE TABLE obligation (
  partner          text        NOT NULL,
  id               uuid        NOT NULL DEFAULT gen_random_uuid(),
  request          text        NOT NULL,
  "right"          int         NOT NULL,
  erasure          text        NOT NULL,
  acknowledge_time timestamptz,
  PRIMARY KEY (partner, id),
  UNIQUE (partner, request, erasure)
);
CREATE TABLE webhook (
  partner     text        NOT NULL REFERENCES partner,
  id          uuid        NOT NULL,
  url         text        NOT NULL,
  secret      bytea       NOT NULL,               -- sealed under a key of its own
  enabled     boolean     NOT NULL DEFAULT true,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, id)
);
CREATE TABLE notice (                             -- state changes received, each once
  partner     text        NOT NULL,
  id          uuid        NOT NULL,
  body        jsonb       NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, id)
);
CREATE TABLE processing_record (                  -- P5: no column could hold personal data but originating_ip
  partner        text        NOT NULL,
  id             uuid        NOT NULL,
  actor          text        NOT NULL,
  operation      text        NOT NULL,
  request        text        NOT NULL,
  source         text        NOT NULL,
  outcome        text        NOT NULL,
  records        bigint      NOT NULL,
  record_time    timestamptz NOT NULL,
  originating_ip inet,
  PRIMARY KEY (partner, id)
);
CREATE INDEX processing_record_newest ON processing_record (partner, record_time DESC, id DESC);
CREATE TABLE mutation (
  partner     text        NOT NULL,
  request_id  uuid        NOT NULL,
  method      text        NOT NULL,
  body_digest bytea       NOT NULL,
  resource    text        NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, request_id)
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['partner', 'data_source', 'data_map', 'hold', 'role_grant', 'used_token', 'approval',
                              'admission', 'work', 'work_identity', 'obligation', 'webhook', 'notice',
                              'processing_record', 'mutation'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
GRANT UPDATE ON partner, hold, role_grant, work, obligation, webhook TO dsr_{schema};
GRANT DELETE ON work_identity, webhook, processing_record, used_token, admission, notice TO dsr_{schema};
CREATE POLICY sweep ON obligation FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, id, request, "right", erasure, acknowledge_time) ON obligation TO dsr_{schema}_sweeper;
CREATE POLICY sweep ON partner FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner) ON partner TO dsr_{schema}_sweeper;
