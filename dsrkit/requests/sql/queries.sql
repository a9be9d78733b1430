-- name: create
INSERT INTO request (partner, id, request_id, body_digest, state, creator, creator_actors, capacity, received_time,
                     time_zone, due_time, data_map_revision, data_sources, refusal, facts, sealed, complete_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
        CASE WHEN $4 = 'REFUSED' THEN now() END)
ON CONFLICT DO NOTHING  -- neither of id nor of request_id: calls at the same moment have both in common
RETURNING *

-- name: get
SELECT * FROM request WHERE id = $1

-- name: lock
SELECT * FROM request WHERE id = $1 FOR UPDATE

-- name: by_request_id
SELECT * FROM request WHERE request_id = $1

-- name: list
SELECT * FROM request
WHERE ($1::text[] IS NULL OR state = ANY ($1))
  AND ($2::timestamptz IS NULL OR due_time < $2)
  AND ($3::timestamptz IS NULL OR (create_time, id) < ($3, $4::uuid))
ORDER BY create_time DESC, id DESC
LIMIT $5

-- name: save
UPDATE request
SET state = $2, due_time = $3, extension = $4, facts = $5, sealed = $6, bundle_expire_time = $7,
    update_time = now(), complete_time = coalesce(complete_time, CASE WHEN $8 THEN now() END)
WHERE id = $1
RETURNING *

-- name: add_event
WITH numbered AS (
  UPDATE request SET next_event = next_event + 1 WHERE id = $1 RETURNING next_event - 1 AS event
)
INSERT INTO event (partner, request, event, state, type, step, source, attempts, records, waiting_reason)
SELECT dsr.current_partner(), $1, event, $2, $3, $4, $5, $6, $7, $8 FROM numbered

-- name: events
SELECT * FROM event WHERE request = $1 AND event > $2 ORDER BY event LIMIT 200

-- name: notify_event
SELECT pg_notify($1, $2)

-- name: mutation
SELECT * FROM mutation WHERE request_id = $1

-- name: add_mutation
INSERT INTO mutation (partner, request_id, method, body_digest, request) VALUES (dsr.current_partner(), $1, $2, $3, $4)
ON CONFLICT (partner, request_id) DO NOTHING
RETURNING request_id

-- name: add_outbox
INSERT INTO outbox (partner, entry) SELECT dsr.current_partner(), unnest($1::bytea[])

-- name: outbox_partners
SELECT DISTINCT partner FROM (SELECT partner FROM outbox ORDER BY create_time LIMIT 2000) AS oldest

-- name: outbox
SELECT id, entry FROM outbox ORDER BY create_time LIMIT 500

-- name: shipped
DELETE FROM outbox WHERE id = ANY ($1::uuid[])

-- name: expired_bundles
(SELECT partner, id FROM request WHERE bundle_expire_time <= now() LIMIT 200)
UNION
-- Sandboxes are few, and so are their bundles.
(SELECT partner, id FROM clock JOIN request USING (partner) WHERE bundle_expire_time <= now() + ahead LIMIT 200)

-- name: watch
SELECT state, due, count(*) AS requests, min(seconds)::float8 AS seconds,
       count(*) FILTER (WHERE seconds < 3 * 86400 AND update_time < now() - interval '1 day') AS stalled
FROM (
  SELECT state, update_time, extract(epoch FROM due_time - now()) AS seconds,
         CASE WHEN due_time <= now() THEN 'overdue' WHEN due_time <= now() + interval '1 day' THEN '1d'
              WHEN due_time <= now() + interval '3 days' THEN '3d' WHEN due_time <= now() + interval '7 days' THEN '7d'
              ELSE 'later' END AS due
  FROM request WHERE complete_time IS NULL
) AS open
GROUP BY state, due

-- name: outbox_age
SELECT extract(epoch FROM now() - min(create_time))::float8 AS seconds FROM outbox

-- name: unfinished
SELECT id FROM request WHERE state <> ALL ($1::text[]) ORDER BY id

-- name: clock
SELECT ahead FROM clock

-- name: set_clock
INSERT INTO clock (partner, ahead) VALUES (dsr.current_partner(), $1)
ON CONFLICT (partner) DO UPDATE SET ahead = greatest(clock.ahead, EXCLUDED.ahead)
