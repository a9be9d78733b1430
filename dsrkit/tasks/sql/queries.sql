-- name: begin
-- A new attempt of an open task that is due; older attempts can store nothing from here on.
UPDATE task SET attempt = attempt + 1, update_time = now()
WHERE id = $1 AND state = 'open' AND due_time <= now()
RETURNING *

-- name: check_attempt
SELECT 1 FROM task WHERE id = $1 AND state = 'open' AND attempt = $2 FOR UPDATE

-- name: finish
UPDATE task
SET state = 'done', records = $3, result = $4, sealed = $5, waiting_reason = NULL, update_time = now()
WHERE id = $1 AND state = 'open' AND attempt = $2
RETURNING *

-- name: wait
UPDATE task
SET waiting_reason = $3, tries = tries + 1, due_time = now() + $4, update_time = now()
WHERE id = $1 AND state = 'open' AND attempt = $2
RETURNING *

-- name: insert
INSERT INTO task (partner, owner, step, source, round, input, due_time)
SELECT dsr.current_partner(), $1, step, source, round, input, coalesce(due_time, now())
FROM jsonb_to_recordset($2::jsonb) AS t (step text, source text, round int, input jsonb, due_time timestamptz)

-- name: of_owner
SELECT * FROM task WHERE owner = $1 ORDER BY create_time, id

-- name: drop_open
UPDATE task SET state = 'dropped', update_time = now() WHERE owner = $1 AND state = 'open' AND step <> ALL ($2::text[])

-- name: hasten
-- Waiting work of an owner is tried at once.
UPDATE task SET due_time = now() WHERE owner = $1 AND state = 'open' AND waiting_reason IS NOT NULL

-- name: notify
SELECT pg_notify($1, '')

-- name: due
-- The next few tasks of every partner and source, so that one partner's mountain can't stand before another's task.
SELECT partner, id FROM (
  SELECT partner, id, due_time, row_number() OVER (PARTITION BY partner, source ORDER BY due_time, id) AS place
  FROM task WHERE state = 'open' AND due_time <= now()
) AS next
WHERE place <= $1
ORDER BY place, due_time
LIMIT 500

-- name: next_due
SELECT extract(epoch FROM min(due_time) - now())::float8 AS seconds FROM task WHERE state = 'open' AND due_time > now()

-- name: purge_queue_log
DELETE FROM pgqueuer_log WHERE created < now() - interval '1 day'

-- name: watch
-- A task that was begun since it fell due is running, or was until its worker died.
SELECT step, state, reason, count(*) AS tasks, count(*) FILTER (WHERE tries >= 30) AS stuck,
       max(extract(epoch FROM now() - since))::float8 AS age
FROM (
  SELECT step, waiting_reason AS reason, tries,
         CASE WHEN due_time > now() THEN CASE WHEN waiting_reason IS NULL THEN 'scheduled' ELSE 'waiting' END
              WHEN update_time > due_time THEN 'running' ELSE 'queued' END AS state,
         CASE WHEN due_time > now() THEN CASE WHEN waiting_reason IS NULL THEN now() ELSE create_time END
              WHEN update_time > due_time THEN update_time ELSE due_time END AS since
  FROM task WHERE state = 'open'
) AS open
GROUP BY step, state, reason

-- name: advance
-- The partner's time made a leap: what was put off is due sooner.
UPDATE task SET due_time = greatest(now(), due_time - $1::interval) WHERE state = 'open' AND due_time > now()
