-- The journal of erasures in the source itself. No personal data; {journal} is the quoted schema.
CREATE TABLE IF NOT EXISTS {journal}.task (
  source varchar(191) NOT NULL,
  task varchar(512) NOT NULL,
  attempt bigint NOT NULL,
  PRIMARY KEY (source, task)
) ENGINE=InnoDB CHARSET utf8mb4 COLLATE utf8mb4_bin
