-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended('policy_version', 0))

-- name: propose
INSERT INTO policy_version (version, text_url, text_sha256, changes, effective_time, answer_deadline, proposer, proposers,
                            create_time)
SELECT coalesce(max(version), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8 FROM policy_version
RETURNING version

-- name: version
SELECT * FROM policy_version WHERE version = $1

-- name: publish
UPDATE policy_version SET state = 'PUBLISHED', publisher = $2, publish_time = $3 WHERE version = $1

-- name: versions
SELECT * FROM policy_version WHERE $1 = 0 OR version < $1 ORDER BY version DESC LIMIT $2

-- name: agreements
-- What was published, with the answer of the transaction's partner; one version, or those before one.
SELECT v.*, a.state AS answer, a.answer_deadline AS partner_deadline, a.notice_time, a.answerer, a.answer_time
FROM policy_version AS v LEFT JOIN policy_agreement AS a USING (version)
WHERE v.state = 'PUBLISHED' AND ($1::bigint = 0 OR v.version = $1) AND ($2::bigint = 0 OR v.version < $2)
ORDER BY v.version DESC LIMIT $3

-- name: standing
-- Which version is in effect, and which one of those is accepted: processing follows the accepted one.
SELECT coalesce(max(v.version), 0) AS in_effect, coalesce(max(v.version) FILTER (WHERE a.state = 'ACCEPTED'), 0) AS accepted
FROM policy_version AS v LEFT JOIN policy_agreement AS a USING (version)
WHERE v.state = 'PUBLISHED' AND v.effective_time <= $1

-- name: answer
INSERT INTO policy_agreement (partner, version, state, answer_deadline, notice_time, answerer, answer_time)
VALUES (dsr.current_partner(), $1, $2, $3, $4, $5, $4)
ON CONFLICT (partner, version) DO UPDATE SET state = $2, answerer = $5, answer_time = $4

-- name: behind
-- Partners that have not been told of a version that concerns them, or whose time to answer is over. A sandbox goes by its own
-- time.
SELECT DISTINCT p.partner
FROM (SELECT partner, $1::timestamptz + coalesce(ahead, '0') AS now FROM partner LEFT JOIN sandbox USING (partner)) AS p
CROSS JOIN policy_version AS v LEFT JOIN policy_agreement AS a ON (a.partner, a.version) = (p.partner, v.version)
WHERE v.state = 'PUBLISHED' AND v.version >= (
    SELECT coalesce(max(version), 0) FROM policy_version WHERE state = 'PUBLISHED' AND effective_time <= p.now)
  AND (a.version IS NULL OR (a.state = 'OPEN' AND a.answer_deadline <= p.now))
LIMIT 1000

-- name: untold
SELECT v.* FROM policy_version AS v LEFT JOIN policy_agreement AS a USING (version)
WHERE v.state = 'PUBLISHED' AND a.version IS NULL AND v.version >= (
    SELECT coalesce(max(version), 0) FROM policy_version WHERE state = 'PUBLISHED' AND effective_time <= $1)
ORDER BY v.version

-- name: told
INSERT INTO policy_agreement (partner, version, state, answer_deadline, notice_time)
VALUES (dsr.current_partner(), $1, 'OPEN', $2, $3)

-- name: unanswered
UPDATE policy_agreement SET state = 'UNANSWERED' WHERE state = 'OPEN' AND answer_deadline <= $1 RETURNING version
