-- name: set_contacts
INSERT INTO contacts (partner, sealed, update_time) VALUES (dsr.current_partner(), $1, $2)
ON CONFLICT (partner) DO UPDATE SET sealed = EXCLUDED.sealed, update_time = EXCLUDED.update_time

-- name: contacts
SELECT * FROM contacts

-- name: add_notice
INSERT INTO notice (partner, id, kind, resource, body, create_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING id

-- name: notices
SELECT * FROM notice
WHERE ($1 = '' OR kind = $1) AND ($2::timestamptz IS NULL OR (create_time, id) < ($2, $3::uuid))
ORDER BY create_time DESC, id DESC LIMIT $4

-- name: deliveries
SELECT owner, step, state, input, result, update_time FROM task WHERE owner = ANY ($1::uuid[]) ORDER BY create_time, id

-- name: lock_webhook
SELECT * FROM webhook WHERE id = $1 FOR UPDATE

-- name: rotate_secret
UPDATE webhook SET previous_secret = secret, secret = $2, previous_expire_time = $3 WHERE id = $1

-- name: tracked
SELECT state FROM deadline WHERE request = $1 FOR UPDATE

-- name: track
-- A late report changes nothing; another due time is warned of anew.
INSERT INTO deadline AS known (partner, request, state, open, due_time, change_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5)
ON CONFLICT (partner, request) DO UPDATE
SET state = EXCLUDED.state, open = EXCLUDED.open, due_time = EXCLUDED.due_time, change_time = EXCLUDED.change_time,
    warned = CASE WHEN known.due_time = EXCLUDED.due_time THEN known.warned END
WHERE known.change_time <= EXCLUDED.change_time

-- name: partners_with_deadlines
SELECT DISTINCT partner FROM deadline LEFT JOIN sandbox USING (partner)
WHERE open AND due_time < $1::timestamptz + coalesce(ahead, '0') AND warned IS DISTINCT FROM 0

-- name: near
-- Rows that another worker holds are its own to warn of.
SELECT request, due_time, warned FROM deadline
WHERE open AND due_time < $1 AND warned IS DISTINCT FROM 0
ORDER BY due_time
FOR UPDATE SKIP LOCKED

-- name: warned
UPDATE deadline SET warned = $2 WHERE request = $1

-- name: purge
WITH old AS (DELETE FROM notice WHERE create_time < $1 RETURNING id),
     done AS (DELETE FROM deadline WHERE NOT open AND change_time < $1)
DELETE FROM task WHERE owner IN (SELECT id FROM old)
