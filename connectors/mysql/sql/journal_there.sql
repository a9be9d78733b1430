SELECT count(*)
FROM information_schema.TABLES AS t
WHERE t.TABLE_SCHEMA = :1: AND t.TABLE_NAME IN ('task', 'erasure')
