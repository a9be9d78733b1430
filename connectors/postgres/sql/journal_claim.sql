-- Waits while an older attempt is in the middle of a person. No row: a newer attempt was here.
INSERT INTO {journal}.task AS t (source, task, attempt)
VALUES ($1, $2, $3)
ON CONFLICT (source, task) DO UPDATE SET attempt = excluded.attempt
WHERE t.attempt <= excluded.attempt
RETURNING t.attempt
