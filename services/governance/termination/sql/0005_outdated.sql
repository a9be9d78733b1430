-- Which requests copy whole data sources: an erasure at one of these has its copies ended, and made anew.
CREATE TABLE termination_copy (
  partner     text NOT NULL,
  request     text NOT NULL, -- partners/{partner}/portabilityRequests/{id}; from its first grant on, before any snapshot
  termination uuid NOT NULL,
  source      text NOT NULL,
  PRIMARY KEY (partner, request),
  FOREIGN KEY (partner, termination) REFERENCES termination
);
CREATE INDEX termination_copy_source ON termination_copy (partner, source);
ALTER TABLE termination_copy ENABLE ROW LEVEL SECURITY;
ALTER TABLE termination_copy FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON termination_copy TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT ON termination_copy TO dsr_{schema};

ALTER TABLE termination_item ADD COLUMN outdate_time timestamptz; -- when the last package was ended by an erasure
