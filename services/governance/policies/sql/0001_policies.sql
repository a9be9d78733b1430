-- Versions of the operator's policy, and what each partner agreed to. Versions are the operator's own: every partner reads
-- them, and they are written in the operator's name, which no partner can have.
CREATE TABLE policy_version (
  version         bigint      PRIMARY KEY CHECK (version > 0),
  state           text        NOT NULL DEFAULT 'PROPOSED' CHECK (state IN ('PROPOSED', 'PUBLISHED')),
  text_url        text        NOT NULL,
  text_sha256     text        NOT NULL CHECK (text_sha256 ~ '^[0-9a-f]{64}$'),
  changes         text        NOT NULL,
  effective_time  timestamptz NOT NULL,
  answer_deadline timestamptz NOT NULL,
  proposer        text        NOT NULL,
  proposers       text[]      NOT NULL,           -- everybody in the proposer's credential
  publisher       text,
  create_time     timestamptz NOT NULL,
  publish_time    timestamptz
);
CREATE TABLE policy_agreement (
  partner         text        NOT NULL REFERENCES partner,
  version         bigint      NOT NULL REFERENCES policy_version,
  state           text        NOT NULL CHECK (state IN ('OPEN', 'ACCEPTED', 'REJECTED', 'UNANSWERED')),
  answer_deadline timestamptz NOT NULL,
  notice_time     timestamptz NOT NULL,
  answerer        text,
  answer_time     timestamptz,
  PRIMARY KEY (partner, version)
);
ALTER TABLE policy_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE policy_version FORCE ROW LEVEL SECURITY;
CREATE POLICY everybody ON policy_version FOR SELECT TO dsr_{schema} USING (true);
CREATE POLICY operator ON policy_version TO dsr_{schema} USING (dsr.current_partner() = 'operators/_')
  WITH CHECK (dsr.current_partner() = 'operators/_');
GRANT SELECT, INSERT, UPDATE ON policy_version TO dsr_{schema};
ALTER TABLE policy_agreement ENABLE ROW LEVEL SECURITY;
ALTER TABLE policy_agreement FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON policy_agreement TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT, UPDATE ON policy_agreement TO dsr_{schema};
CREATE POLICY sweep ON policy_version FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (version, state, effective_time, answer_deadline) ON policy_version TO dsr_{schema}_sweeper;
CREATE POLICY sweep ON policy_agreement FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, version, state, answer_deadline) ON policy_agreement TO dsr_{schema}_sweeper;
-- The operator's people use their tokens once, too.
ALTER TABLE used_token DROP CONSTRAINT used_token_partner_fkey;
