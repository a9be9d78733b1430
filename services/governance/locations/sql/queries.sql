-- name: create
INSERT INTO location_agreement (partner, id, use, source, provider, site, country, state, replaces, proposer, decider,
                                create_time, effective_time, decide_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: get
SELECT * FROM location_agreement WHERE id = $1

-- name: lock
SELECT * FROM location_agreement WHERE id = $1 FOR UPDATE

-- name: accepted
SELECT * FROM location_agreement WHERE state = 'ACCEPTED'

-- name: list
SELECT * FROM location_agreement WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: decide
-- Whoever agrees late agrees from then on.
UPDATE location_agreement
SET state = $2, decider = $3, decide_time = $4,
    effective_time = CASE WHEN $2 = 'ACCEPTED' THEN greatest(effective_time, $4) ELSE effective_time END
WHERE id = $1

-- name: complete
UPDATE location_agreement SET complete_time = $2 WHERE id = $1

-- name: end
UPDATE location_agreement SET end_time = coalesce(end_time, $2) WHERE id = $1

-- name: move_source
UPDATE data_source SET body = jsonb_set(body, '{location}', $2) WHERE name = $1 RETURNING name
