-- Usable indexes of the tables given by oid, with their parts in order: a column's name, or an expression's text.
SELECT
  i.indrelid,
  array(
    SELECT coalesce(a.attname::text, pg_catalog.pg_get_indexdef(i.indexrelid, k.place::int, true))
    FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
    WHERE k.place <= i.indnkeyatts
    ORDER BY k.place
  ) AS parts,
  i.indisunique AND i.indimmediate AS is_unique,
  i.indisprimary AS is_primary,
  i.indpred IS NOT NULL AS is_partial
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
WHERE i.indrelid = ANY ($1::oid[])
  AND i.indisvalid
  AND am.amname IN ('btree', 'hash')
ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid
