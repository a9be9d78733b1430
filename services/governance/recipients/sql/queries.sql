-- name: objections
SELECT * FROM sub_processor_objection

-- name: objection
SELECT * FROM sub_processor_objection WHERE sub_processor = $1

-- name: object
INSERT INTO sub_processor_objection (partner, sub_processor, objector, reference, object_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: withdraw
DELETE FROM sub_processor_objection WHERE sub_processor = $1

-- name: add_task
INSERT INTO recipient_task (partner, id, request, kind, recipient, sub_processor, collections, mode, how, owner, due_time,
                            create_time, evidence, completer, complete_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT DO NOTHING
RETURNING id

-- name: task
SELECT * FROM recipient_task WHERE id = $1

-- name: lock_task
SELECT * FROM recipient_task WHERE id = $1 FOR UPDATE

-- name: of_request
SELECT * FROM recipient_task WHERE request = $1 ORDER BY recipient, id

-- name: list
SELECT * FROM recipient_task
WHERE ($1 = '' OR request = $1) AND ($2::boolean IS NULL OR (complete_time IS NOT NULL) = $2)
  AND ($3::timestamptz IS NULL OR (create_time, id) < ($3, $4::uuid))
ORDER BY create_time DESC, id DESC LIMIT $5

-- name: complete
UPDATE recipient_task SET evidence = $2, completer = $3, complete_time = $4 WHERE id = $1
