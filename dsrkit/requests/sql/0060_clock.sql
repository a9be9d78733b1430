-- How far ahead the time of a sandbox is, as governance said last. A live partner never has a row.
CREATE TABLE clock (
  partner text PRIMARY KEY,
  ahead   interval NOT NULL
);
ALTER TABLE clock ENABLE ROW LEVEL SECURITY;
ALTER TABLE clock FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON clock TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT, UPDATE ON clock TO dsr_{schema};
CREATE POLICY sweep ON clock FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, ahead) ON clock TO dsr_{schema}_sweeper;
