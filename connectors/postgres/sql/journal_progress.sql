SELECT collections::text FROM {journal}.erasure WHERE source = $1 AND task = $2
