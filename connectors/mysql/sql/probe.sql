-- The server's clock, and what it keeps of its statements.
SELECT utc_timestamp(6), @@log_bin, @@binlog_format
