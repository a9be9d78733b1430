-- Refusals: the operator's of an instruction, and the controller's of a person. No column can hold personal data.
CREATE TABLE refusal (
  partner          text        NOT NULL REFERENCES partner,
  id               uuid        NOT NULL,
  kind             text        NOT NULL CHECK (kind IN ('INSTRUCTION', 'SUBJECT')),
  operation        text        NOT NULL,
  request          text        NOT NULL,
  rule             text        NOT NULL,
  article          text        NOT NULL,
  facts            text[]      NOT NULL DEFAULT '{}',
  how_to_object    text        NOT NULL DEFAULT '',
  subject_refusal  jsonb,                         -- dsr.v1.SubjectRefusal
  told_late        boolean     NOT NULL DEFAULT false,
  creator          text        NOT NULL,
  state            text        NOT NULL DEFAULT 'STANDING' CHECK (state IN ('STANDING', 'OBJECTED', 'UPHELD', 'WITHDRAWN')),
  times            bigint      NOT NULL DEFAULT 1,
  objector         text,
  reference        text,
  object_time      timestamptz,
  answerer         text,
  answer_reference text,
  answer_time      timestamptz,
  create_time      timestamptz NOT NULL,
  last_time        timestamptz NOT NULL,
  PRIMARY KEY (partner, id)
);
CREATE INDEX refusal_newest ON refusal (partner, create_time DESC, id DESC);
CREATE INDEX refusal_objected ON refusal (object_time) WHERE state = 'OBJECTED';
ALTER TABLE refusal ENABLE ROW LEVEL SECURITY;
ALTER TABLE refusal FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON refusal TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT, UPDATE ON refusal TO dsr_{schema};
CREATE POLICY sweep ON refusal FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, id, state, object_time) ON refusal TO dsr_{schema}_sweeper;
