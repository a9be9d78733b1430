-- Columns, in order, with what the user may do with each.
SELECT
  c.TABLE_SCHEMA,
  c.TABLE_NAME,
  c.COLUMN_NAME,
  c.DATA_TYPE,
  c.COLUMN_TYPE,
  c.IS_NULLABLE = 'YES',
  c.COLLATION_NAME,
  coalesce(c.GENERATION_EXPRESSION, '') <> '',
  c.PRIVILEGES
FROM information_schema.COLUMNS AS c
WHERE c.TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION
