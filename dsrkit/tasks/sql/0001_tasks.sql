-- Task rows are the truth about work; the queue beside them is disposable. {schema} is the service's schema.
CREATE TABLE task (
  partner        text        NOT NULL,
  id             uuid        NOT NULL DEFAULT gen_random_uuid(),
  owner          uuid        NOT NULL,            -- what the work is for: a request, a notice
  step           text        NOT NULL,
  source         text,                            -- the data source it touches, if any
  round          int         NOT NULL DEFAULT 0,
  state          text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'dropped')),
  attempt        int         NOT NULL DEFAULT 0,  -- results are accepted from the current attempt only
  tries          int         NOT NULL DEFAULT 0,  -- attempts that ended without a result, for the back-off
  due_time       timestamptz NOT NULL DEFAULT now(),
  waiting_reason text,
  records        bigint      NOT NULL DEFAULT 0,
  input          jsonb       NOT NULL DEFAULT '{}',
  result         jsonb       NOT NULL DEFAULT '{}',
  sealed         bytea,                           -- what of the result is personal, under the request's key
  create_time    timestamptz NOT NULL DEFAULT now(),
  update_time    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, id)
);
CREATE INDEX task_owner ON task (partner, owner, create_time);
CREATE INDEX task_due ON task (due_time) WHERE state = 'open';

ALTER TABLE task ENABLE ROW LEVEL SECURITY;
ALTER TABLE task FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON task TO dsr_{schema} USING (partner = dsr.current_partner()) WITH CHECK (partner = dsr.current_partner());
CREATE POLICY sweep ON task FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON task TO dsr_{schema};
GRANT SELECT (partner, id, owner, source, state, due_time) ON task TO dsr_{schema}_sweeper;
