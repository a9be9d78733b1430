-- What the connection is and may do beyond the tables. Unix sockets and loopback have no certificate to check.
SELECT
  pg_catalog.clock_timestamp(),
  coalesce((SELECT s.ssl FROM pg_catalog.pg_stat_ssl AS s WHERE s.pid = pg_catalog.pg_backend_pid()), false),
  pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),
  pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
  pg_catalog.to_regclass($1) IS NOT NULL AND pg_catalog.to_regclass($2) IS NOT NULL
