-- People of the same names, and which of them the controller chose: sealed like the request's person.
ALTER TABLE correction ADD COLUMN candidates bytea;
ALTER TABLE correction_task
  DROP CONSTRAINT correction_task_state_check,
  ADD CONSTRAINT correction_task_state_check CHECK (state IN
    ('', 'PREVIEWING', 'PREVIEWED', 'APPROVED', 'AMENDED', 'BY_HAND', 'AWAITING_CONTROLLER', 'KEPT', 'WITHDRAWN'));
