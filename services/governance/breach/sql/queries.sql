-- name: create
INSERT INTO breach (partner, id, phase, natures, data_sources, begin_time, end_time, reporter, sealed, aware_time,
                    notice_time, create_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)

-- name: add_entry
INSERT INTO breach_entry (partner, breach, entry_time, event, actor, sealed)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5)

-- name: get
SELECT * FROM breach WHERE id = $1

-- name: lock
SELECT * FROM breach WHERE id = $1 FOR UPDATE

-- name: list
SELECT * FROM breach WHERE ($1::timestamptz IS NULL OR (create_time, id) < ($1, $2::uuid))
ORDER BY create_time DESC, id DESC LIMIT $3

-- name: entries
SELECT * FROM breach_entry WHERE breach = $1 ORDER BY number

-- name: advance
UPDATE breach SET phase = $2, scope = $3, close_time = $4 WHERE id = $1

-- name: decide_authority
UPDATE breach SET authority = $2 WHERE id = $1

-- name: decide_subjects
UPDATE breach SET subjects = $2 WHERE id = $1

-- name: count
-- What was counted at the source stays.
INSERT INTO breach_count AS known (partner, breach, source, subjects, certainty, count_time, counted)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6)
ON CONFLICT (partner, breach, source) DO UPDATE
SET subjects = EXCLUDED.subjects, certainty = EXCLUDED.certainty, count_time = EXCLUDED.count_time,
  counted = EXCLUDED.counted
WHERE EXCLUDED.counted OR NOT known.counted

-- name: counts
SELECT * FROM breach_count WHERE breach = $1

-- name: order
INSERT INTO breach_order (partner, breach, source, create_time, next_time)
SELECT dsr.current_partner(), $1, source, $3, $4 FROM unnest($2::text[]) source

-- name: orders
SELECT partner, breach, source FROM breach_order WHERE close_time IS NULL AND next_time <= $1
ORDER BY create_time, source LIMIT 50

-- name: lock_order
SELECT * FROM breach_order WHERE breach = $1 AND source = $2 FOR UPDATE

-- name: lease
UPDATE breach_order SET next_time = $3 WHERE breach = $1 AND source = $2

-- name: not_counted
UPDATE breach_order SET failure = $3, next_time = $4, close_time = $5, attempts = attempts + 1
WHERE breach = $1 AND source = $2

-- name: close_order
UPDATE breach_order SET failure = '', close_time = $3 WHERE breach = $1 AND source = $2

-- name: close_orders
UPDATE breach_order SET close_time = $2 WHERE breach = $1 AND close_time IS NULL

-- name: failures
SELECT source, failure FROM breach_order WHERE breach = $1 AND failure <> ''

-- name: activities
SELECT source, operation, count(*) AS count, coalesce(sum(records), 0)::bigint AS records FROM processing_record
WHERE source = ANY ($1::text[]) AND record_time >= $2 AND record_time < $3
GROUP BY source, operation ORDER BY source, operation

-- name: partners_undecided
SELECT DISTINCT partner FROM breach WHERE undecided

-- name: undecided
SELECT id, notice_time FROM breach WHERE undecided
