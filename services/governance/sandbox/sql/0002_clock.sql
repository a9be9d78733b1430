-- How far ahead a sandbox's time is, and which services have followed.
ALTER TABLE sandbox ADD COLUMN ahead interval NOT NULL DEFAULT '0';
CREATE TABLE sandbox_follower (
  partner text     NOT NULL REFERENCES sandbox,
  service text     NOT NULL,
  ahead   interval NOT NULL,
  PRIMARY KEY (partner, service)
);
ALTER TABLE sandbox_follower ENABLE ROW LEVEL SECURITY;
ALTER TABLE sandbox_follower FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON sandbox_follower TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT, UPDATE ON sandbox_follower TO dsr_{schema};
GRANT UPDATE (ahead) ON sandbox TO dsr_{schema};
CREATE POLICY sweep ON sandbox FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, ahead) ON sandbox TO dsr_{schema}_sweeper;
CREATE POLICY sweep ON sandbox_follower FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, service, ahead) ON sandbox_follower TO dsr_{schema}_sweeper;
