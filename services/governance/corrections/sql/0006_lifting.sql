-- Marks of a restriction that was lifted are cleared by tasks of their own; until then the person's names are kept.
ALTER TABLE correction
  DROP CONSTRAINT correction_state_check,
  ADD CONSTRAINT correction_state_check CHECK (state IN ('OPEN', 'COMPLETED', 'CANCELLED', 'LIFTING')),
  ADD COLUMN lifter        text   NOT NULL DEFAULT '',
  ADD COLUMN lifter_actors text[] NOT NULL DEFAULT '{}';
ALTER TABLE correction_task
  DROP CONSTRAINT correction_task_state_check,
  ADD CONSTRAINT correction_task_state_check CHECK (state IN
    ('', 'PREVIEWING', 'PREVIEWED', 'APPROVED', 'AMENDED', 'BY_HAND', 'KEPT', 'WITHDRAWN')),
  ADD COLUMN clears boolean NOT NULL DEFAULT false,
  ADD COLUMN holds  text[]  NOT NULL DEFAULT '{}',       -- in force when it was previewed
  DROP CONSTRAINT correction_task_pkey,
  ADD PRIMARY KEY (partner, correction, source, clears);
GRANT SELECT (clears) ON correction_task TO dsr_{schema}_sweeper;
