-- What a confirmation changed, for when its confirmer loses the role before anything followed from it.
ALTER TABLE termination ADD COLUMN standing_before text;
