-- Collections by source that a rectification or restriction touches: whose recipients have to hear of it (Art. 19).
ALTER TABLE correction ADD COLUMN touched jsonb NOT NULL DEFAULT '{}';
