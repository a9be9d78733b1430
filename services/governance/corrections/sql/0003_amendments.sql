-- What connectors are to set, task by task, and how far it is. Values stand nowhere but in the request's sealed part.
ALTER TABLE correction ADD COLUMN creator_actors text[] NOT NULL DEFAULT '{}';
ALTER TABLE correction_task
  ADD COLUMN state        text   NOT NULL DEFAULT ''
    CHECK (state IN ('', 'PREVIEWING', 'PREVIEWED', 'APPROVED', 'AMENDED', 'BY_HAND')),
  ADD COLUMN attempt      bigint NOT NULL DEFAULT 0,
  ADD COLUMN changes      jsonb  NOT NULL DEFAULT '[]',    -- collection, fields, flags, amended, unchanged
  ADD COLUMN plan_digest  text   NOT NULL DEFAULT '',
  ADD COLUMN approver     text   NOT NULL DEFAULT '',
  ADD COLUMN approve_time timestamptz,
  ADD COLUMN obstacle     int    NOT NULL DEFAULT 0,
  ADD COLUMN field        text   NOT NULL DEFAULT '';
CREATE INDEX correction_task_ordered ON correction_task (partner, correction)
  WHERE complete_time IS NULL AND state IN ('PREVIEWING', 'APPROVED');
CREATE POLICY sweep ON correction_task FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, correction, source, state, attempt, complete_time) ON correction_task TO dsr_{schema}_sweeper;
