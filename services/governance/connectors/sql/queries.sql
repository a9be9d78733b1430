-- name: propose
INSERT INTO connector_change (partner, id, source, connector, proposer, proposers, create_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6)
RETURNING id

-- name: proposed
SELECT id FROM connector_change WHERE source = $1 AND state = 'PROPOSED'

-- name: get
SELECT * FROM connector_change WHERE id = $1

-- name: lock
SELECT * FROM connector_change WHERE id = $1 FOR UPDATE

-- name: decide
UPDATE connector_change SET state = $2, confirmer = $3, decide_time = $4 WHERE id = $1

-- name: apply
UPDATE data_source SET body = body - 'connector_address' - 'connector_identity' || $2::jsonb WHERE name = $1
RETURNING name

-- name: list
SELECT * FROM connector_change WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3
