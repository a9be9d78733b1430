-- Orders to count a data source's people, which the access service pulls; and which numbers are the source's own.
CREATE TABLE breach_order (
  partner     text        NOT NULL,
  breach      uuid        NOT NULL,
  source      text        NOT NULL,
  create_time timestamptz NOT NULL,
  next_time   timestamptz NOT NULL,               -- not before; while somebody counts, when that is given up
  attempts    int         NOT NULL DEFAULT 0,
  failure     text        NOT NULL DEFAULT '',    -- ErrorReason of the last attempt
  close_time  timestamptz,                        -- counted, or given up, or the breach is over
  PRIMARY KEY (partner, breach, source),
  FOREIGN KEY (partner, breach) REFERENCES breach
);
CREATE INDEX breach_order_open ON breach_order (next_time) WHERE close_time IS NULL;
ALTER TABLE breach_order ENABLE ROW LEVEL SECURITY;
ALTER TABLE breach_order FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON breach_order TO dsr_{schema} USING (partner = dsr.current_partner())
  WITH CHECK (partner = dsr.current_partner());
GRANT SELECT, INSERT, UPDATE ON breach_order TO dsr_{schema};
CREATE POLICY sweep ON breach_order FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, breach, source, create_time, next_time, close_time) ON breach_order TO dsr_{schema}_sweeper;
ALTER TABLE breach_count ADD COLUMN counted boolean NOT NULL DEFAULT false;
