-- name: create_partner
INSERT INTO partner (partner, body) VALUES (dsr.current_partner(), $1) ON CONFLICT DO NOTHING RETURNING *

-- name: partner
SELECT * FROM partner

-- name: set_standing
UPDATE partner SET standing = $1 RETURNING *

-- name: partners
SELECT partner FROM partner

-- name: create_data_source
INSERT INTO data_source (partner, name, body) VALUES (dsr.current_partner(), $1, $2) ON CONFLICT DO NOTHING RETURNING *

-- name: data_source
SELECT data_source.*, resets, reset_time FROM data_source LEFT JOIN sandbox USING (partner) WHERE name = $1

-- name: data_sources
SELECT data_source.*, resets, reset_time FROM data_source LEFT JOIN sandbox USING (partner) WHERE name > $1 ORDER BY name LIMIT $2

-- name: lock_partner
SELECT 1 FROM partner FOR UPDATE

-- name: create_data_map
INSERT INTO data_map (partner, revision, body)
SELECT dsr.current_partner(), coalesce(max(revision), 0) + 1, $1 FROM data_map
RETURNING *

-- name: data_map
SELECT * FROM data_map WHERE $1::bigint = 0 OR revision = $1 ORDER BY revision DESC LIMIT 1

-- name: create_hold
INSERT INTO hold (partner, id, source, collection, subject, reason, legal_reference, review_time, effective_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7, now() + interval '5 minutes')
RETURNING *

-- name: hold
SELECT * FROM hold WHERE id = $1

-- name: release_hold
UPDATE hold SET release_time = coalesce(release_time, now()) WHERE id = $1 RETURNING *

-- name: holds
SELECT * FROM hold WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: holds_in_force
SELECT * FROM hold WHERE release_time IS NULL AND source = ANY ($1::text[]) AND (subject IS NULL OR subject = ANY ($2))
ORDER BY create_time

-- name: create_role_grant
INSERT INTO role_grant (partner, id, grantee, role, state, proposer, proposers)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6)
RETURNING *

-- name: role_grant
SELECT * FROM role_grant WHERE id = $1 FOR UPDATE

-- name: set_role_grant
UPDATE role_grant SET state = $2, confirmer = coalesce($3, confirmer) WHERE id = $1 RETURNING *

-- name: role_grants
SELECT * FROM role_grant WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: holds_role
SELECT EXISTS (SELECT 1 FROM role_grant WHERE grantee = $1 AND role = $2 AND state = 'CONFIRMED')

-- name: use_token
INSERT INTO used_token (partner, token_id, purpose) VALUES (dsr.current_partner(), $1, $2)
ON CONFLICT (partner, token_id) DO NOTHING
RETURNING token_id

-- name: token_purpose
SELECT purpose FROM used_token WHERE token_id = $1

-- name: record_approval
INSERT INTO approval (partner, request, plan_digest, approver) VALUES (dsr.current_partner(), $1, $2, $3)
ON CONFLICT DO NOTHING

-- name: approver
SELECT approver, EXISTS (
  SELECT 1 FROM role_grant WHERE grantee = approver AND role = 'ROLE_APPROVER' AND state = 'CONFIRMED'
) AS still
FROM approval WHERE request = $1 AND plan_digest = $2

-- name: admit
INSERT INTO admission (partner, request_id, "right", principal, create_time) VALUES (dsr.current_partner(), $1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING request_id

-- name: lock_admissions
SELECT pg_advisory_xact_lock(hashtextextended('admission ' || dsr.current_partner(), 0))

-- name: admitted
SELECT count(*) FILTER (WHERE principal = $1) AS by_principal, count(*) AS by_partner,
       min(create_time) FILTER (WHERE principal = $1) AS oldest_of_principal, min(create_time) AS oldest
FROM admission WHERE create_time > $2

-- name: register_work
INSERT INTO work (partner, request, "right") VALUES (dsr.current_partner(), $1, $2) ON CONFLICT DO NOTHING

-- name: add_work_identities
INSERT INTO work_identity (partner, request, digest)
SELECT dsr.current_partner(), $1, unnest($2::bytea[]) WHERE EXISTS (SELECT 1 FROM work WHERE request = $1 AND open)
ON CONFLICT DO NOTHING

-- name: other_work
SELECT DISTINCT other.request, other."right", other.number,
       other.number < (SELECT number FROM work WHERE request = $1) AS older
FROM work_identity AS mine
JOIN work_identity AS theirs ON theirs.digest = mine.digest AND theirs.request <> mine.request
JOIN work AS other ON other.request = theirs.request
WHERE mine.request = $1 AND other.open
ORDER BY other.number

-- name: close_work
INSERT INTO work (partner, request, "right", open, bundle_expire_time) VALUES (dsr.current_partner(), $1, $2, false, $3)
ON CONFLICT (partner, request) DO UPDATE SET open = false, bundle_expire_time = $3

-- name: forget_work
DELETE FROM work_identity WHERE request = $1

-- name: oblige
INSERT INTO obligation (partner, request, "right", erasure)
SELECT DISTINCT dsr.current_partner(), other.request, other."right", $1
FROM work_identity AS mine
JOIN work_identity AS theirs ON theirs.digest = mine.digest AND theirs.request <> mine.request
JOIN work AS other ON other.request = theirs.request
WHERE mine.request = $1 AND other."right" IN (1, 2) AND other.bundle_expire_time > now()
ON CONFLICT DO NOTHING

-- name: obliged
SELECT count(*) AS total, count(*) FILTER (WHERE acknowledge_time IS NULL) AS open FROM obligation WHERE erasure = $1

-- name: open_obligations
SELECT partner, id, request, erasure FROM obligation
WHERE "right" = $1 AND acknowledge_time IS NULL AND ($2::uuid IS NULL OR id > $2)
ORDER BY id LIMIT 200

-- name: acknowledge
UPDATE obligation SET acknowledge_time = coalesce(acknowledge_time, now()) WHERE id = $1 AND request = $2
RETURNING request

-- name: bundle_ended
UPDATE work SET bundle_expire_time = NULL WHERE request = $1

-- name: create_webhook
INSERT INTO webhook (partner, id, url, secret) VALUES (dsr.current_partner(), $1, $2, $3) RETURNING *

-- name: webhook
SELECT * FROM webhook WHERE id = $1

-- name: delete_webhook
DELETE FROM webhook WHERE id = $1 RETURNING id

-- name: disable_webhook
UPDATE webhook SET enabled = false WHERE id = $1

-- name: webhooks
SELECT * FROM webhook WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: enabled_webhooks
SELECT id FROM webhook WHERE enabled

-- name: add_records
-- Of a partner that isn't there nothing is kept: its name may be anything.
INSERT INTO processing_record (partner, id, actor, operation, request, source, outcome, records, record_time, originating_ip)
SELECT dsr.current_partner(), t.*
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::timestamptz[],
            $9::inet[]) AS t
WHERE EXISTS (SELECT 1 FROM partner)
ON CONFLICT DO NOTHING

-- name: records
SELECT * FROM processing_record
WHERE ($1 = '' OR source = $1) AND ($2 = '' OR operation = $2) AND ($3 = '' OR request = $3)
  AND ($4::timestamptz IS NULL OR record_time >= $4) AND ($5::timestamptz IS NULL OR record_time < $5)
  AND ($6::timestamptz IS NULL OR (record_time, id) < ($6, $7::uuid))
ORDER BY record_time DESC, id DESC LIMIT $8

-- name: lock_mutation
SELECT pg_advisory_xact_lock(hashtextextended(dsr.current_partner() || $1::uuid::text, 0))

-- name: mutation
SELECT * FROM mutation WHERE request_id = $1

-- name: add_mutation
INSERT INTO mutation (partner, request_id, method, body_digest, resource) VALUES (dsr.current_partner(), $1, $2, $3, $4)

-- name: purge_tokens
DELETE FROM used_token WHERE create_time < now() - interval '1 day'

-- name: purge_admissions
DELETE FROM admission WHERE create_time < now() - interval '2 days'
