SELECT attempt FROM {journal}.task WHERE source = $1 AND task = $2 AND attempt = $3 FOR SHARE
