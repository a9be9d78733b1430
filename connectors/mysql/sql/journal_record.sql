INSERT INTO {journal}.erasure (source, task, subject, attempt, collections)
VALUES (:1:, :2:, :3:, :4:, :5:)
