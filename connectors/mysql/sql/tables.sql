-- Everything that can hold rows. One row each.
SELECT
  t.TABLE_SCHEMA,
  t.TABLE_NAME,
  t.TABLE_TYPE,
  coalesce(t.ENGINE, ''),
  coalesce(e.TRANSACTIONS, 'NO') = 'YES',
  coalesce(t.TABLE_ROWS, -1)
FROM information_schema.TABLES AS t
LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
  AND t.TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
ORDER BY t.TABLE_SCHEMA, t.TABLE_NAME
