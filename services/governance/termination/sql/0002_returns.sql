-- What the platform itself returns and destroys of a data source.
ALTER TABLE termination_item
  ADD COLUMN return_request    text        NOT NULL DEFAULT '', -- whose bundle the package is; empty: returned by hand
  ADD COLUMN returned          jsonb       NOT NULL DEFAULT '[]', -- [{collection, records}]
  ADD COLUMN return_failure    integer     NOT NULL DEFAULT 0, -- dsr.v1.ErrorReason
  ADD COLUMN attempt           bigint      NOT NULL DEFAULT 0, -- grants signed to destroy it
  ADD COLUMN destroyed_records bigint      NOT NULL DEFAULT 0,
  ADD COLUMN destroy_failure   integer     NOT NULL DEFAULT 0,
  ADD COLUMN fail_time         timestamptz;
