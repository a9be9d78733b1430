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
SELECT * FROM correction_task WHERE correction = $1 ORDER BY source

-- name: end
UPDATE correction SET state = $2, sealed = NULL, update_time = $3, complete_time = $3 WHERE id = $1
RETURNING *

-- name: extend
UPDATE correction SET extension = $2, due_time = $3, update_time = $4 WHERE id = $1

-- name: complete_task
UPDATE correction_task SET evidence = $3, completer = $4, complete_time = $5
WHERE correction = $1 AND source = $2 AND complete_time IS NULL

-- name: open_tasks
SELECT count(*) AS open FROM correction_task WHERE correction = $1 AND complete_time IS NULL

-- name: orders
SELECT t.partner, t.correction, t.source, t.state, t.attempt
FROM correction_task AS t JOIN correction AS c ON (c.partner, c.id) = (t.partner, t.correction)
WHERE t.complete_time IS NULL AND t.state IN ('PREVIEWING', 'APPROVED') AND c.complete_time IS NULL
  AND (t.next_time IS NULL OR t.next_time <= $1)
ORDER BY t.attempt, c.due_time, t.source LIMIT 50

-- name: task
SELECT * FROM correction_task WHERE correction = $1 AND source = $2

-- name: attempt
UPDATE correction_task SET attempt = attempt + 1, changes = $3 WHERE correction = $1 AND source = $2 RETURNING attempt

-- name: set_amendment
UPDATE correction_task
SET state = $3, changes = $4, plan_digest = $5, approver = $6, approve_time = $7, obstacle = $8, field = $9,
    person_digest = coalesce($10, person_digest), tries = 0, waiting = '', waiting_source = '', next_time = NULL
WHERE correction = $1 AND source = $2

-- name: wait
UPDATE correction_task SET tries = tries + 1, waiting = $3, waiting_source = $4, next_time = $5
WHERE correction = $1 AND source = $2

-- name: restrict
INSERT INTO restricted_identity (partner, digest, correction)
SELECT dsr.current_partner(), unnest($2::bytea[]), $1
ON CONFLICT DO NOTHING

-- name: lift
UPDATE correction SET lift_time = $2, subject_told_time = $3, update_time = $2 WHERE id = $1

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
  FROM correction WHERE complete_time IS NULL
) AS open
GROUP BY state, due
