-- Every foreign key of the database, partitions counted as their root. NOT ENFORCED exists from PostgreSQL 18 on.
SELECT
  f.conname,
  coalesce(pg_catalog.pg_partition_root(f.conrelid)::oid, f.conrelid) AS child,
  array(
    SELECT a.attname::text
    FROM pg_catalog.unnest(f.conkey) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.attnum
    ORDER BY k.place
  ) AS columns,
  coalesce(pg_catalog.pg_partition_root(f.confrelid)::oid, f.confrelid) AS target,
  array(
    SELECT a.attname::text
    FROM pg_catalog.unnest(f.confkey) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.confrelid AND a.attnum = k.attnum
    ORDER BY k.place
  ) AS target_columns,
  f.confdeltype::text AS on_delete,
  coalesce((pg_catalog.to_jsonb(f) ->> 'conenforced')::boolean, true) AS enforced
FROM pg_catalog.pg_constraint AS f
WHERE f.contype = 'f'
  AND f.conparentid = 0
ORDER BY f.conrelid, f.conname
