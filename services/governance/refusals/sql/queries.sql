-- name: enter
INSERT INTO refusal AS known (partner, id, kind, operation, request, rule, article, facts, how_to_object, creator,
                              create_time, last_time)
VALUES (dsr.current_partner(), $1, 'INSTRUCTION', $2, $3, $4, $5, $6, $7, $8, $9, $9)
ON CONFLICT (partner, id) DO UPDATE
SET times = known.times + 1, last_time = greatest(known.last_time, EXCLUDED.last_time), facts = EXCLUDED.facts

-- name: record
INSERT INTO refusal (partner, id, kind, operation, request, rule, article, subject_refusal, told_late, creator,
                     create_time, last_time)
VALUES (dsr.current_partner(), $1, 'SUBJECT', 'CreateSubjectRefusal', $2, $3, $4, $5, $6, $7, $8, $8)

-- name: get
SELECT * FROM refusal WHERE id = $1

-- name: lock
SELECT * FROM refusal WHERE id = $1 FOR UPDATE

-- name: list
SELECT * FROM refusal
WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR request = $2)
  AND ($3::timestamptz IS NULL OR (create_time, id) < ($3, $4::uuid))
ORDER BY create_time DESC, id DESC LIMIT $5

-- name: object
UPDATE refusal SET state = $2, objector = $3, reference = $4, object_time = $5 WHERE id = $1

-- name: answer
UPDATE refusal SET state = $2, answerer = $3, answer_reference = $4, answer_time = $5 WHERE id = $1

-- name: open_objections
SELECT partner, id FROM refusal WHERE state = 'OBJECTED' ORDER BY object_time LIMIT 500
