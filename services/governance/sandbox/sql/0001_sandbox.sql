-- What only partners have that were created as sandboxes. A row is made with its partner; without one a partner is live.
CREATE TABLE sandbox (
  partner    text PRIMARY KEY REFERENCES partner,
  resets     bigint      NOT NULL DEFAULT 0,
  reset_time timestamptz
);
ALTER TABLE sandbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE sandbox FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON sandbox TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT, UPDATE (resets, reset_time) ON sandbox TO dsr_{schema};
