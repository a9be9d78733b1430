-- name: create_rule
INSERT INTO retention_rule (partner, id, source, collection, field, identity_type, months, creator, creator_actors,
                            create_time, next_sweep_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $9)

-- name: rule
SELECT * FROM retention_rule WHERE id = $1

-- name: lock_rule
SELECT * FROM retention_rule WHERE id = $1 FOR UPDATE

-- name: rule_of
SELECT id FROM retention_rule WHERE source = $1 AND end_time IS NULL

-- name: rules
SELECT * FROM retention_rule WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: end_rule
UPDATE retention_rule SET end_time = coalesce(end_time, $2), instruction = NULL WHERE id = $1

-- name: instruct
UPDATE retention_rule SET instruction = $2 WHERE id = $1

-- name: set_next
UPDATE retention_rule SET next_sweep_time = $2 WHERE id = $1

-- name: due_rules
SELECT partner, id FROM retention_rule LEFT JOIN sandbox USING (partner)
WHERE end_time IS NULL AND next_sweep_time <= $1::timestamptz + coalesce(ahead, '0')

-- name: create_sweep
INSERT INTO retention_sweep (partner, id, rule, source, cutoff_time, creator, creator_actors, create_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7)

-- name: sweep
SELECT * FROM retention_sweep WHERE id = $1

-- name: lock_sweep
SELECT * FROM retention_sweep WHERE id = $1 FOR UPDATE

-- name: open_sweep
SELECT id, state FROM retention_sweep WHERE rule = $1 AND complete_time IS NULL

-- name: sweeps
SELECT * FROM retention_sweep WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: orders
SELECT partner, id, state, cap FROM retention_sweep WHERE complete_time IS NULL AND state IN ('COUNTING', 'APPROVED')
ORDER BY create_time LIMIT 50

-- name: counted
UPDATE retention_sweep SET state = 'COUNTED', people = $2, unknown = $3, erased = $4, kept = $5, cap = $6 WHERE id = $1

-- name: approve
UPDATE retention_sweep SET state = 'APPROVED', approver = $2, standing = $3, approve_time = $4 WHERE id = $1

-- name: set_created
UPDATE retention_sweep SET created = $2 WHERE id = $1

-- name: end_sweep
UPDATE retention_sweep SET state = $2, complete_time = coalesce(complete_time, $3) WHERE id = $1

-- name: cancel_open
UPDATE retention_sweep SET state = 'CANCELLED', complete_time = $2 WHERE rule = $1 AND complete_time IS NULL

-- name: add_request
INSERT INTO retention_request (partner, request, sweep) VALUES (dsr.current_partner(), $1, $2) ON CONFLICT DO NOTHING

-- name: requests
SELECT count(*) FROM retention_request WHERE sweep = $1
