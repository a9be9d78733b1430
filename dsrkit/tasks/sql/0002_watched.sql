-- Metrics count tasks over all partners: steps, reasons and attempts have names and numbers of ours only.
GRANT SELECT (step, waiting_reason, tries, create_time, update_time) ON task TO dsr_{schema}_sweeper;
