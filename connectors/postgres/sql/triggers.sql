-- Triggers and rules that run on DELETE or UPDATE; those of a partition counted to its root.
SELECT DISTINCT
  coalesce(pg_catalog.pg_partition_root(g.tgrelid)::oid, g.tgrelid) AS relation,
  g.tgname::text AS name,
  'trigger' AS kind,
  (g.tgtype & 8) <> 0 AS on_delete,
  (g.tgtype & 16) <> 0 AS on_update
FROM pg_catalog.pg_trigger AS g
WHERE NOT g.tgisinternal
  AND g.tgenabled <> 'D'
  AND (g.tgtype & 24) <> 0
UNION
SELECT
  coalesce(pg_catalog.pg_partition_root(r.ev_class)::oid, r.ev_class),
  r.rulename::text,
  'rule',
  r.ev_type = '4',
  r.ev_type = '2'
FROM pg_catalog.pg_rewrite AS r
WHERE r.ev_type IN ('2', '4')
  AND r.ev_enabled <> 'D'
ORDER BY 1, 2
