-- What was certified, byte for byte.
ALTER TABLE termination ADD COLUMN certificate text;
