-- name: create
INSERT INTO termination (partner, id, creator, creator_actors, create_time, return_only)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5)

-- name: open
SELECT state FROM termination WHERE state NOT IN ('CANCELLED', 'RETURNED')

-- name: get
SELECT * FROM termination WHERE id = $1

-- name: lock
SELECT * FROM termination WHERE id = $1 FOR UPDATE

-- name: items
SELECT * FROM termination_item WHERE termination = $1 ORDER BY source

-- name: emptied
SELECT service FROM termination_emptied WHERE termination = $1 ORDER BY service

-- name: returned
INSERT INTO termination_item (partner, termination, source, packages) VALUES (dsr.current_partner(), $1, $2, $3)
ON CONFLICT (partner, termination, source) DO UPDATE
SET packages = EXCLUDED.packages, return_request = '', returned = '[]'

-- name: returned_by
INSERT INTO termination_item (partner, termination, source, packages, return_request, returned)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5)
ON CONFLICT (partner, termination, source) DO UPDATE
SET packages = EXCLUDED.packages, return_request = EXCLUDED.return_request, returned = EXCLUDED.returned,
    return_failure = 0

-- name: not_returned
INSERT INTO termination_item (partner, termination, source, return_failure)
VALUES (dsr.current_partner(), $1, $2, $3)
ON CONFLICT (partner, termination, source) DO UPDATE SET return_failure = EXCLUDED.return_failure

-- name: next_attempt
UPDATE termination_item SET attempt = attempt + 1 WHERE termination = $1 AND source = $2 RETURNING attempt

-- name: destroyed_by
UPDATE termination_item
SET destroy_time = $3, evidence = $4, destroyer = $5, destroyed_records = $6, destroy_failure = 0, fail_time = NULL
WHERE termination = $1 AND source = $2 AND destroy_time IS NULL

-- name: not_destroyed
UPDATE termination_item SET destroy_failure = $3, fail_time = $4
WHERE termination = $1 AND source = $2 AND destroy_time IS NULL

-- name: in_state
SELECT partner, id FROM termination WHERE state = $1

-- name: confirm
UPDATE termination SET state = 'DESTROYING', confirmer = $2, confirm_time = $3, effective_time = $4,
       standing_before = CASE state WHEN 'RETURNING' THEN (SELECT standing FROM partner) ELSE standing_before END
WHERE id = $1

-- name: lapse
-- Before any took effect all of it is taken back; afterwards what follows from it stops, for good: a later one that lapses in
-- time can't bring back what went by the first.
UPDATE termination SET confirmer = '', effective_time = NULL,
       state = CASE WHEN effective_time > $2 AND standing_before IS NOT NULL THEN 'RETURNING' ELSE state END,
       confirm_time = CASE WHEN effective_time > $2 AND standing_before IS NOT NULL THEN NULL ELSE confirm_time END,
       standing_before = CASE WHEN effective_time > $2 THEN standing_before END
WHERE id = $1 AND state = 'DESTROYING' AND confirmer <> '' AND NOT EXISTS (
  SELECT 1 FROM role_grant AS held
  WHERE held.grantee = termination.confirmer AND held.role = 'ROLE_APPROVER' AND held.state = 'CONFIRMED'
)
RETURNING state, standing_before

-- name: standing_decided
-- By staff: it stays, though the confirmation lapses.
UPDATE termination SET standing_before = $1 WHERE state = 'DESTROYING' AND standing_before IS NOT NULL

-- name: destroyed
INSERT INTO termination_item (partner, termination, source, destroy_time, evidence, destroyer)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5)
ON CONFLICT (partner, termination, source) DO UPDATE
SET destroy_time = EXCLUDED.destroy_time, evidence = EXCLUDED.evidence, destroyer = EXCLUDED.destroyer
WHERE termination_item.destroy_time IS NULL

-- name: set_state
UPDATE termination SET state = $2, certify_time = coalesce(certify_time, $3) WHERE id = $1

-- name: unfinished
SELECT partner, id FROM termination
WHERE state IN ('DESTROYING', 'SNAPSHOTS_LEFT') OR (state = 'CERTIFIED' AND shred_time IS NULL)

-- name: shredded
UPDATE termination SET shred_time = coalesce(shred_time, $2) WHERE id = $1

-- name: orders
-- A sandbox goes by its own time.
SELECT partner, id FROM termination LEFT JOIN sandbox USING (partner)
WHERE state IN ('DESTROYING', 'SNAPSHOTS_LEFT') AND effective_time <= $1::timestamptz + coalesce(ahead, '0')

-- name: add_emptied
INSERT INTO termination_emptied (partner, termination, service, empty_time)
VALUES (dsr.current_partner(), $1, $2, $3) ON CONFLICT DO NOTHING

-- name: confirmed
SELECT id FROM termination WHERE confirm_time IS NOT NULL

-- name: holds
-- In force, of each data source the oldest 100, and how many there are.
SELECT * FROM (
  SELECT *, row_number() OVER (PARTITION BY source ORDER BY create_time, id) AS place,
         count(*) OVER (PARTITION BY source) AS in_force
  FROM hold WHERE release_time IS NULL
) AS numbered
WHERE place <= 100
ORDER BY source, place

-- name: copy
INSERT INTO termination_copy (partner, request, termination, source) VALUES (dsr.current_partner(), $1, $2, $3)
ON CONFLICT DO NOTHING

-- name: outdated
SELECT 1 FROM obligation WHERE request = $1

-- name: returning
SELECT id FROM termination WHERE state = 'RETURNING' FOR UPDATE

-- name: unreported
SELECT source FROM erased_source WHERE erasure = $1 AND erase_time IS NULL

-- name: oblige
-- Copies at work, and those that can be downloaded. One that an erasure ended already is left alone.
INSERT INTO obligation (partner, request, "right", erasure)
SELECT dsr.current_partner(), copy.request, 2, $1
FROM termination_copy AS copy LEFT JOIN work USING (partner, request)
WHERE copy.source = ANY ($2::text[]) AND (work.request IS NULL OR work.bundle_expire_time > $3)
  AND NOT EXISTS (SELECT 1 FROM obligation AS o WHERE o.request = copy.request AND o.acknowledge_time IS NOT NULL)
  AND NOT EXISTS (
    SELECT 1 FROM obligation AS o JOIN termination_copy AS c USING (partner, request)
    WHERE o.erasure = $1 AND c.source = copy.source
  )
ON CONFLICT DO NOTHING
RETURNING request

-- name: outdate
-- While everything is being returned, what was in the package is returned anew.
UPDATE termination_item AS item
SET outdate_time = $2,
    packages = CASE termination.state WHEN 'RETURNING' THEN '[]' ELSE packages END,
    returned = CASE termination.state WHEN 'RETURNING' THEN '[]' ELSE returned END,
    return_request = CASE termination.state WHEN 'RETURNING' THEN '' ELSE return_request END
FROM termination
WHERE termination.id = item.termination AND termination.state IN ('RETURNING', 'RETURNED')
  AND item.return_request = ANY ($1::text[])

-- name: certified
UPDATE termination SET certificate = $2 WHERE id = $1
