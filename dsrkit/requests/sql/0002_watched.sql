-- Metrics count what is open over all partners.
CREATE INDEX request_open ON request (due_time) WHERE complete_time IS NULL;
GRANT SELECT (update_time, complete_time) ON request TO dsr_{schema}_sweeper;
