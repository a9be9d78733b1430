-- name: add_safeguard
INSERT INTO transfer_safeguard (partner, id, recipient, country, instrument, document_reference, document_sha256,
                                begin_time, end_time, creator, create_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: safeguard
SELECT * FROM transfer_safeguard WHERE id = $1

-- name: safeguards
SELECT * FROM transfer_safeguard WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: open_safeguards
SELECT * FROM transfer_safeguard

-- name: end_safeguard
UPDATE transfer_safeguard SET end_time = least(end_time, $2) WHERE id = $1 RETURNING id

-- name: add_attestation
INSERT INTO transfer_attestation (partner, id, country, subjects_told_time, notice_reference, notice_sha256, attester,
                                  create_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7)

-- name: attestation
SELECT * FROM transfer_attestation WHERE id = $1

-- name: attestations
SELECT * FROM transfer_attestation WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: open_attestations
SELECT * FROM transfer_attestation

-- name: end_attestation
UPDATE transfer_attestation SET end_time = coalesce(end_time, $2) WHERE id = $1 RETURNING id
