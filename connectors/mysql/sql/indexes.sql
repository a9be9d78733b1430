-- Usable indexes, part by part. {expression}: what a part indexes that is no column.
SELECT
  s.TABLE_SCHEMA,
  s.TABLE_NAME,
  s.INDEX_NAME,
  s.NON_UNIQUE = 0,
  coalesce(s.COLUMN_NAME, {expression}, '')
FROM information_schema.STATISTICS AS s
WHERE s.TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
  AND s.INDEX_TYPE IN ('BTREE', 'HASH')
ORDER BY s.TABLE_SCHEMA, s.TABLE_NAME, s.INDEX_NAME <> 'PRIMARY', s.INDEX_NAME, s.SEQ_IN_INDEX
