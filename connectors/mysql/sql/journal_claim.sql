-- Waits while an older attempt is in the middle of a person.
INSERT INTO {journal}.task (source, task, attempt)
VALUES (:1:, :2:, :3:)
ON DUPLICATE KEY UPDATE attempt = greatest(attempt, VALUES(attempt))
