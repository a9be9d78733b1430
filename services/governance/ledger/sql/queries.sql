-- name: lock
SELECT pg_advisory_xact_lock(hashtext('dsr.ledger'))

-- name: size
SELECT coalesce(max(number) + 1, 0) AS size FROM ledger_node WHERE level = 0

-- name: nodes
SELECT level, number, hash FROM ledger_node JOIN unnest($1::smallint[], $2::bigint[]) AS wanted (level, number)
  USING (level, number)

-- name: grow
INSERT INTO ledger_node (level, number, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])

-- name: certified
SELECT * FROM certified WHERE resource = $1

-- name: certify
INSERT INTO certified (partner, resource, sha256, salt, number, certify_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5) RETURNING *

-- name: checkpoint
SELECT size, note, sign_time FROM ledger_checkpoint WHERE origin = $1 ORDER BY size DESC LIMIT 1

-- name: sign
INSERT INTO ledger_checkpoint (origin, size, note, sign_time) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: covering
SELECT size, note FROM ledger_checkpoint WHERE origin = $1 AND size > $2 ORDER BY size LIMIT 1
