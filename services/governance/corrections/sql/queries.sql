-- name: create
INSERT INTO correction (partner, id, kind, creator, capacity, received_time, time_zone, due_time, data_map_revision,
                        data_sources, facts, sealed, effective_time, create_time, update_time, touched, creator_actors)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15)

-- name: add_task
INSERT INTO correction_task (partner, correction, source, custody, owner, state)
VALUES (dsr.current_partner(), $1, $2, $3, $4, 'PREVIEWING')

-- name: get
SELECT * FROM correction WHERE id = $1

-- name: lock
SELECT * FROM correction WHERE id = $1 FOR UPDATE

-- name: list
SELECT * FROM correction
WHERE ($1::text[] IS NULL OR state = ANY ($1))
  AND ($2::timestamptz IS NULL OR due_time < $2)
  AND ($3::timestamptz IS NULL OR (create_time, id) < ($3, $4::uuid))
ORDER BY create_time DESC, id DESC LIMIT $5

-- name: tasks
SELECT * FROM correction_task WHERE correction = $1 ORDER BY source, clears

-- name: end
-- Of a restriction in force the names stay: its marks are to be cleared one day.
UPDATE correction SET state = $2, update_time = $3, complete_time = $3,
  sealed = CASE WHEN $2 = 'COMPLETED' AND kind = 'RESTRICTION' AND lift_time IS NULL THEN sealed END,
  candidates = CASE WHEN $2 = 'COMPLETED' AND kind = 'RESTRICTION' AND lift_time IS NULL THEN candidates END
WHERE id = $1
RETURNING *

-- name: extend
UPDATE correction SET extension = $2, due_time = $3, update_time = $4 WHERE id = $1

-- name: complete_task
UPDATE correction_task SET evidence = $4, completer = $5, complete_time = $6
WHERE correction = $1 AND source = $2 AND clears = $3 AND complete_time IS NULL

-- name: open_tasks
SELECT count(*) AS open, count(*) FILTER (WHERE state <> 'KEPT') AS due
FROM correction_task WHERE correction = $1 AND complete_time IS NULL AND state <> 'WITHDRAWN'

-- name: orders
SELECT t.partner, t.correction, t.source, t.state, t.attempt
FROM correction_task AS t JOIN correction AS c ON (c.partner, c.id) = (t.partner, t.correction)
WHERE t.complete_time IS NULL AND t.state IN ('PREVIEWING', 'APPROVED') AND c.complete_time IS NULL
  AND (t.next_time IS NULL OR t.next_time <= $1)
ORDER BY t.attempt, c.due_time, t.source LIMIT 50

-- name: task
-- The one that is to be done: after a restriction was lifted, that which clears.
SELECT * FROM correction_task WHERE correction = $1 AND source = $2 ORDER BY clears DESC LIMIT 1

-- name: marked
SELECT changes FROM correction_task WHERE correction = $1 AND source = $2 AND NOT clears

-- name: attempt
UPDATE correction_task SET attempt = attempt + 1, changes = $4, holds = $5
WHERE correction = $1 AND source = $2 AND clears = $3
RETURNING *

-- name: set_amendment
UPDATE correction_task
SET state = $4, changes = $5, plan_digest = $6, approver = $7, approve_time = $8, obstacle = $9, field = $10,
    person_digest = coalesce($11, person_digest), tries = 0, waiting = '', waiting_source = '', next_time = NULL
WHERE correction = $1 AND source = $2 AND clears = $3

-- name: wait
UPDATE correction_task SET tries = tries + 1, waiting = $4, waiting_source = $5, next_time = $6
WHERE correction = $1 AND source = $2 AND clears = $3

-- name: set_candidates
UPDATE correction SET candidates = $2 WHERE id = $1

-- name: decided
UPDATE correction_task SET state = 'PREVIEWING'
WHERE correction = $1 AND state = 'AWAITING_CONTROLLER' AND complete_time IS NULL

-- name: restrict
INSERT INTO restricted_identity (partner, digest, correction)
SELECT dsr.current_partner(), unnest($2::bytea[]), $1
ON CONFLICT DO NOTHING

-- name: lift
UPDATE correction SET lift_time = $2, subject_told_time = $3, lifter = $4, lifter_actors = $5, update_time = $2 WHERE id = $1

-- name: clear_marks
-- Wherever a mark was set, or may have been. What a grant may still be setting is cleared once that grant has ended.
INSERT INTO correction_task (partner, correction, source, custody, owner, state, obstacle, attempt, next_time, clears)
SELECT partner, correction, source, custody, $2, $3, $4, attempt + 1,
       CASE WHEN state = 'APPROVED' AND complete_time IS NULL THEN $5::timestamptz END, true
FROM correction_task
WHERE correction = $1 AND (complete_time IS NOT NULL OR state = 'APPROVED' OR obstacle = $6)
RETURNING source

-- name: withdraw
UPDATE correction_task SET state = 'WITHDRAWN' WHERE correction = $1 AND complete_time IS NULL AND NOT clears

-- name: lifting
UPDATE correction SET state = 'LIFTING', complete_time = NULL, due_time = $2 WHERE id = $1 RETURNING *

-- name: lock_restrictions
-- Restrictions of a partner begin, end and are asked about one after the other. Taken before any row.
SELECT pg_advisory_xact_lock(hashtextextended('restrictions ' || dsr.current_partner(), 0))

-- name: kept
SELECT * FROM correction WHERE id IN (SELECT correction FROM correction_task WHERE state = 'KEPT') ORDER BY id FOR UPDATE

-- name: wake
WITH woken AS (UPDATE correction_task SET state = 'PREVIEWING' WHERE correction = $1 AND state = 'KEPT')
UPDATE correction SET due_time = $2 WHERE id = $1

-- name: being_cleared
SELECT EXISTS (
  SELECT 1 FROM correction_task WHERE source = $1 AND clears AND state = 'APPROVED' AND complete_time IS NULL
) AS any

-- name: unrestrict
DELETE FROM restricted_identity WHERE correction = $1

-- name: restrictions
SELECT DISTINCT correction FROM restricted_identity WHERE digest = ANY ($1::bytea[]) ORDER BY correction

-- name: watch
SELECT state, due, count(*) AS requests, min(seconds)::float8 AS seconds,
       count(*) FILTER (WHERE seconds < 3 * 86400 AND update_time < now() - interval '1 day') AS stalled
FROM (
  SELECT state, update_time, extract(epoch FROM due_time - now()) AS seconds,
         CASE WHEN due_time <= now() THEN 'overdue' WHEN due_time <= now() + interval '1 day' THEN '1d'
              WHEN due_time <= now() + interval '3 days' THEN '3d' WHEN due_time <= now() + interval '7 days' THEN '7d'
              ELSE 'later' END AS due
  FROM correction
  WHERE complete_time IS NULL AND EXISTS (
    SELECT 1 FROM correction_task AS t
    WHERE (t.partner, t.correction) = (correction.partner, correction.id) AND t.complete_time IS NULL
      AND t.state NOT IN ('KEPT', 'WITHDRAWN')
  )
) AS open
GROUP BY state, due
