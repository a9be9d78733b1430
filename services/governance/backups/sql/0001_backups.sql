-- Snapshots of data sources, restores from them, and which erasure may have touched which source.
CREATE TABLE snapshot (
  partner       text        NOT NULL REFERENCES partner,
  id            uuid        NOT NULL,
  source        text        NOT NULL,
  label         text        NOT NULL,
  provider      text        NOT NULL,
  site          text        NOT NULL,
  country       text        NOT NULL,
  collections   text[]      NOT NULL,             -- empty: all
  snapshot_time timestamptz NOT NULL,
  expire_time   timestamptz NOT NULL,
  place_rule    text        NOT NULL,
  overdue_told  boolean     NOT NULL DEFAULT false,
  destroy_time  timestamptz,
  evidence      text        NOT NULL DEFAULT '',
  destroyer     text        NOT NULL DEFAULT '',
  create_time   timestamptz NOT NULL,
  PRIMARY KEY (partner, id),
  UNIQUE (partner, source, label),
  FOREIGN KEY (partner, source) REFERENCES data_source
);
CREATE INDEX snapshot_newest ON snapshot (partner, create_time DESC, id DESC);
CREATE INDEX snapshot_overdue ON snapshot (partner, expire_time) WHERE destroy_time IS NULL AND NOT overdue_told;
CREATE TABLE restore (
  partner        text        NOT NULL,
  id             uuid        NOT NULL,
  source         text        NOT NULL,
  snapshot       uuid        NOT NULL,
  creator        text        NOT NULL,
  create_time    timestamptz NOT NULL,
  effective_time timestamptz NOT NULL,
  finish_time    timestamptz,
  finisher       text        NOT NULL DEFAULT '',
  PRIMARY KEY (partner, id),
  FOREIGN KEY (partner, snapshot) REFERENCES snapshot
);
CREATE INDEX restore_open ON restore (partner, source) WHERE finish_time IS NULL;
CREATE TABLE replay (                             -- erasures confirmed as carried out again
  partner      text        NOT NULL,
  restore      uuid        NOT NULL,
  erasure      text        NOT NULL,
  erase_time   timestamptz,
  confirm_time timestamptz NOT NULL,
  evidence     text        NOT NULL,
  confirmer    text        NOT NULL,
  PRIMARY KEY (partner, restore, erasure),
  FOREIGN KEY (partner, restore) REFERENCES restore
);
CREATE TABLE erased_source (                      -- written with every grant to erase: nothing is erased without one
  partner    text        NOT NULL REFERENCES partner,
  source     text        NOT NULL,
  erasure    text        NOT NULL,
  grant_time timestamptz NOT NULL,
  erase_time timestamptz,                         -- reported done; NULL: it has a grant and has not reported since
  PRIMARY KEY (partner, source, erasure)
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['snapshot', 'restore', 'replay', 'erased_source'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
GRANT UPDATE ON snapshot, restore, erased_source TO dsr_{schema};
GRANT DELETE ON erased_source TO dsr_{schema};
