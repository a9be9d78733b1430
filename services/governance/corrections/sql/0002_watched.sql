-- Metrics count what is open over all partners.
CREATE INDEX correction_open ON correction (due_time) WHERE complete_time IS NULL;
CREATE POLICY sweep ON correction FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, id, kind, state, due_time, update_time, complete_time) ON correction TO dsr_{schema}_sweeper;
