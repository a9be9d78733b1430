-- Columns of the tables given by oid. Domains are followed to the type they rest on.
WITH RECURSIVE base (oid, base) AS (
  SELECT t.oid, t.oid FROM pg_catalog.pg_type AS t WHERE t.typtype <> 'd'
  UNION ALL
  SELECT t.oid, b.base FROM pg_catalog.pg_type AS t JOIN base AS b ON b.oid = t.typbasetype WHERE t.typtype = 'd'
)
SELECT
  a.attrelid,
  a.attname,
  pg_catalog.format_type(a.atttypid, a.atttypmod) AS native_type,
  pg_catalog.format_type(t.oid, -1) AS cast_type,
  CASE WHEN tn.nspname = 'pg_catalog' THEN t.typname::text ELSE '' END AS type_name,
  t.typtype::text,
  t.typcategory::text,
  CASE WHEN t.typcategory = 'A' AND t.typlen = -1 AND en.nspname = 'pg_catalog' THEN e.typname::text ELSE '' END AS element,
  NOT a.attnotnull AS nullable,
  a.attgenerated <> '' OR a.attidentity = 'a' AS generated,
  equality.name AS equality,
  equality.schema AS equality_schema,
  CASE WHEN a.attcollation <> 0 THEN cn.nspname END AS collation_schema,
  CASE WHEN a.attcollation <> 0 THEN co.collname END AS collation_name,
  coalesce(co.collisdeterministic, true) AS deterministic
FROM pg_catalog.pg_attribute AS a
JOIN base AS b ON b.oid = a.atttypid
JOIN pg_catalog.pg_type AS t ON t.oid = b.base
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.typnamespace
LEFT JOIN base AS eb ON eb.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_catalog.pg_type AS e ON e.oid = eb.base AND eb.oid = eb.base  -- arrays of domains go by their text
LEFT JOIN pg_catalog.pg_namespace AS en ON en.oid = e.typnamespace
LEFT JOIN pg_catalog.pg_collation AS co ON co.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace AS cn ON cn.oid = co.collnamespace
LEFT JOIN LATERAL (
  -- The operator by which the type's own indexes compare; those of extensions lie outside the search path.
  SELECT o.oprname::text AS name, ns.nspname::text AS schema
  FROM pg_catalog.pg_opclass AS oc
  JOIN pg_catalog.pg_am AS am ON am.oid = oc.opcmethod AND am.amname = 'btree'
  JOIN pg_catalog.pg_amop AS ao
    ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
    AND ao.amopstrategy = 3
  JOIN pg_catalog.pg_operator AS o ON o.oid = ao.amopopr
  JOIN pg_catalog.pg_namespace AS ns ON ns.oid = o.oprnamespace
  WHERE oc.opcdefault AND oc.opcintype = t.oid AND ns.nspname <> 'pg_catalog'
  LIMIT 1
) AS equality ON true
WHERE a.attrelid = ANY ($1::oid[])
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
