-- Why a task waits, for which data source, and when it is tried again.
ALTER TABLE correction_task
  ADD COLUMN tries          int  NOT NULL DEFAULT 0,
  ADD COLUMN waiting        text NOT NULL DEFAULT '',
  ADD COLUMN waiting_source text NOT NULL DEFAULT '',
  ADD COLUMN next_time      timestamptz;
GRANT SELECT (next_time) ON correction_task TO dsr_{schema}_sweeper;
