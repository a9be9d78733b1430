-- No row: a newer attempt was here. A twin of this one waits until the transaction ends.
SELECT attempt FROM {journal}.task WHERE source = :1: AND task = :2: AND attempt = :3: FOR UPDATE
