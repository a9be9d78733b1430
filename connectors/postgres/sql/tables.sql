-- Everything that can hold rows, partitions left to their root. One row each.
SELECT
  c.oid,
  n.nspname,
  c.relname,
  c.relkind::text,
  CASE c.relkind
    WHEN 'p' THEN (
      SELECT coalesce(sum(greatest(leaf.reltuples, 0)), 0)::bigint
      FROM pg_catalog.pg_partition_tree(c.oid) AS part
      JOIN pg_catalog.pg_class AS leaf ON leaf.oid = part.relid
      WHERE part.isleaf
    )
    ELSE c.reltuples::bigint
  END AS estimate,
  pg_catalog.row_security_active(c.oid),
  array(
    SELECT privilege
    FROM pg_catalog.unnest(ARRAY['SELECT', 'UPDATE', 'DELETE']) AS privilege
    WHERE pg_catalog.has_table_privilege(c.oid, privilege)
      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  ) AS privileges
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f')
  AND NOT c.relispartition
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (  -- tables that belong to an extension are its own business
    SELECT 1 FROM pg_catalog.pg_depend AS d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  )
ORDER BY n.nspname, c.relname
