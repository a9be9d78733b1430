CREATE TABLE IF NOT EXISTS {journal}.erasure (
  source varchar(191) NOT NULL,
  task varchar(512) NOT NULL,
  subject binary(32) NOT NULL,
  attempt bigint NOT NULL,
  collections longtext NOT NULL,
  erase_time timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (source, task, subject)
) ENGINE=InnoDB CHARSET utf8mb4 COLLATE utf8mb4_bin
