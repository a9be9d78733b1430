-- Everything is returned and nothing ends: a partner can have all of its data at any time (policy P1).
ALTER TABLE termination ADD COLUMN return_only boolean NOT NULL DEFAULT false;
ALTER TABLE termination DROP CONSTRAINT termination_state_check;
ALTER TABLE termination ADD CONSTRAINT termination_state_check
  CHECK (state IN ('RETURNING', 'DESTROYING', 'SNAPSHOTS_LEFT', 'CERTIFIED', 'CANCELLED', 'RETURNED'));
ALTER TABLE termination DROP CONSTRAINT termination_check;
-- Nothing is destroyed before somebody confirmed, and where only a return was asked for nobody can.
ALTER TABLE termination ADD CONSTRAINT termination_confirmed
  CHECK (state IN ('RETURNING', 'CANCELLED', 'RETURNED') OR (confirm_time IS NOT NULL AND NOT return_only));
DROP INDEX termination_one;
CREATE UNIQUE INDEX termination_one ON termination (partner) WHERE state NOT IN ('CANCELLED', 'RETURNED');
