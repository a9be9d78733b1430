-- Grants of staff roles stand beside the partners', in the operator's own name (services/governance/tools.py).
ALTER TABLE role_grant DROP CONSTRAINT role_grant_partner_fkey;
