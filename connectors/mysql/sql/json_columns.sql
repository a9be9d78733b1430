-- Columns that MariaDB's alias JSON made: long text under a check of its own.
SELECT c.CONSTRAINT_SCHEMA, c.TABLE_NAME, c.CONSTRAINT_NAME
FROM information_schema.CHECK_CONSTRAINTS AS c
WHERE c.LEVEL = 'Column'
  AND c.CHECK_CLAUSE = concat('json_valid(`', replace(c.CONSTRAINT_NAME, '`', '``'), '`)')
