-- One request_id may be used for each right: each is a request of its own, and counts as one.
ALTER TABLE admission ADD COLUMN "right" int NOT NULL DEFAULT 0;
ALTER TABLE admission DROP CONSTRAINT admission_pkey, ADD PRIMARY KEY (partner, request_id, "right");
CREATE INDEX admission_newest ON admission (partner, create_time);
