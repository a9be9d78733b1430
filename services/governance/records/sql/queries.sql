-- name: know
INSERT INTO operation (operation) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING

-- name: purge
DELETE FROM processing_record
WHERE id IN (SELECT id FROM processing_record WHERE record_time < $1 ORDER BY record_time LIMIT $2)
RETURNING id

-- name: summary
-- What was done, by month: the categories of processing of Art. 30(2)(b), as they were carried out.
SELECT date_trunc('month', record_time) AS month, operation, source, outcome, count(*) AS times, sum(records)::bigint AS records
FROM processing_record
WHERE ($1::timestamptz IS NULL OR record_time >= $1) AND ($2::timestamptz IS NULL OR record_time < $2)
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
LIMIT 10000
