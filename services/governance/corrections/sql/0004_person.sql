-- Who was previewed: a keyed digest of the erasure service, which alone can compare it.
ALTER TABLE correction_task ADD COLUMN person_digest text NOT NULL DEFAULT '';
