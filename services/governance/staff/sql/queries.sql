-- name: begin
-- The two of one configuration together: the number is that of before this statement.
INSERT INTO role_grant (partner, id, grantee, role, state, proposer, confirmer)
SELECT dsr.current_partner(), named.id, named.person, 'ROLE_OPERATOR', 'CONFIRMED', 'configuration', 'configuration'
FROM unnest($1::uuid[], $2::text[]) AS named (id, person)
WHERE (SELECT count(DISTINCT grantee) FROM role_grant WHERE role = 'ROLE_OPERATOR' AND state = 'CONFIRMED') < 2
  AND NOT EXISTS (
    SELECT 1 FROM role_grant AS before
    WHERE before.grantee = named.person AND before.role = 'ROLE_OPERATOR' AND before.state <> 'PROPOSED')
ON CONFLICT DO NOTHING

-- name: operators
SELECT count(DISTINCT grantee) AS holders FROM role_grant WHERE role = 'ROLE_OPERATOR' AND state = 'CONFIRMED'
