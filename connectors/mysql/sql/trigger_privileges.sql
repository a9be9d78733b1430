-- Who has the privilege TRIGGER, as far as the user may know: grantee, schema pattern and table, empty for every one.
SELECT p.GRANTEE, '', '' FROM information_schema.USER_PRIVILEGES AS p WHERE p.PRIVILEGE_TYPE = 'TRIGGER'
UNION ALL
SELECT p.GRANTEE, p.TABLE_SCHEMA, '' FROM information_schema.SCHEMA_PRIVILEGES AS p WHERE p.PRIVILEGE_TYPE = 'TRIGGER'
UNION ALL
SELECT p.GRANTEE, p.TABLE_SCHEMA, p.TABLE_NAME
FROM information_schema.TABLE_PRIVILEGES AS p
WHERE p.PRIVILEGE_TYPE = 'TRIGGER'
