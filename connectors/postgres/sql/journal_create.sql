-- The journal of erasures in the source itself. No personal data; {journal} is the quoted schema.
CREATE SCHEMA IF NOT EXISTS {journal};

CREATE TABLE IF NOT EXISTS {journal}.task (
  source text NOT NULL,
  task text NOT NULL,
  attempt bigint NOT NULL,
  PRIMARY KEY (source, task)
);

CREATE TABLE IF NOT EXISTS {journal}.erasure (
  source text NOT NULL,
  task text NOT NULL,
  subject bytea NOT NULL,
  attempt bigint NOT NULL,
  collections jsonb NOT NULL,
  erase_time timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (source, task, subject)
);
