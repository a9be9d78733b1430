-- name: register
INSERT INTO snapshot (partner, id, source, label, provider, site, country, collections, snapshot_time, expire_time,
                      place_rule, create_time)
SELECT dsr.current_partner(), id, source, label, provider, site, country, collections, snapshot_time, expire_time,
       place_rule, $2
FROM jsonb_to_recordset($1) AS wanted (id uuid, source text, label text, provider text, site text, country text,
                                       collections text[], snapshot_time timestamptz, expire_time timestamptz,
                                       place_rule text)
ON CONFLICT (partner, source, label) DO NOTHING
RETURNING id, place_rule

-- name: by_label
SELECT snapshot.* FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (source, label, number)
JOIN snapshot USING (source, label)
ORDER BY number

-- name: snapshot
SELECT * FROM snapshot WHERE id = $1

-- name: snapshots
SELECT * FROM snapshot
WHERE ($1 = '' OR source = $1) AND (NOT $2::boolean OR destroy_time IS NULL)
  AND ($3::timestamptz IS NULL OR (create_time, id) < ($3, $4::uuid))
ORDER BY create_time DESC, id DESC LIMIT $5

-- name: existing
SELECT * FROM snapshot WHERE source = ANY ($1::text[]) AND snapshot_time <= $2 AND destroy_time IS NULL

-- name: destroy
UPDATE snapshot SET destroy_time = $2, evidence = $3, destroyer = $4 WHERE id = $1 AND destroy_time IS NULL

-- name: tell_overdue
UPDATE snapshot SET overdue_told = true WHERE destroy_time IS NULL AND NOT overdue_told AND expire_time <= $1
RETURNING source

-- name: announce
INSERT INTO restore (partner, id, source, snapshot, creator, create_time, effective_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6)

-- name: restore
SELECT restore.*, snapshot_time FROM restore JOIN snapshot ON snapshot.id = restore.snapshot WHERE restore.id = $1

-- name: lock_restore
SELECT restore.*, snapshot_time FROM restore JOIN snapshot ON snapshot.id = restore.snapshot WHERE restore.id = $1
FOR UPDATE OF restore

-- name: restores
SELECT * FROM restore WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: not_served
SELECT source FROM restore WHERE source = ANY ($1::text[]) AND finish_time IS NULL ORDER BY source LIMIT 1

-- name: replays
SELECT erasure, erased_source.erase_time, confirm_time, evidence, confirmer
FROM erased_source LEFT JOIN (SELECT * FROM replay WHERE restore = $1) AS replay USING (partner, erasure)
WHERE source = $2
ORDER BY erased_source.erase_time NULLS LAST, erasure

-- name: confirmed
SELECT * FROM replay WHERE restore = $1 ORDER BY erase_time NULLS LAST, erasure

-- name: confirm
INSERT INTO replay (partner, restore, erasure, erase_time, confirm_time, evidence, confirmer)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6)

-- name: finish
UPDATE restore SET finish_time = $2, finisher = $3 WHERE id = $1

-- name: granted
INSERT INTO erased_source (partner, source, erasure, grant_time) VALUES (dsr.current_partner(), $1, $2, $3)
ON CONFLICT (partner, source, erasure) DO UPDATE SET grant_time = EXCLUDED.grant_time, erase_time = NULL

-- name: erased
UPDATE erased_source SET erase_time = $3 WHERE source = $1 AND erasure = $2 AND grant_time <= $3

-- name: purge
DELETE FROM erased_source AS known
WHERE erase_time < $1 AND NOT EXISTS (
  SELECT 1 FROM snapshot WHERE snapshot.source = known.source AND destroy_time IS NULL
                           AND snapshot_time < known.erase_time)
