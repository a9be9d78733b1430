-- Processing records (policy P5): closed sets and fixed forms, so that no column but originating_ip has room for anything
-- personal. Rows that are older than this migration are not looked at again; they end within the year.
CREATE TABLE operation (                          -- what a record may say was done; filled when governance starts
  operation text PRIMARY KEY CHECK (operation ~ '^[A-Za-z]{1,64}$')
);
GRANT SELECT, INSERT ON operation TO dsr_{schema};
ALTER TABLE processing_record
  ADD CONSTRAINT record_operation FOREIGN KEY (operation) REFERENCES operation NOT VALID,
  ADD CONSTRAINT record_actor CHECK (
    actor ~ '^service:[a-z]{1,20}$' OR actor ~ '^[A-Za-z0-9._:/-]{1,200}#[A-Za-z0-9._:-]{1,128}$') NOT VALID,
  ADD CONSTRAINT record_request CHECK (request = '' OR request ~
    '^partners/[a-z0-9-]{3,40}/(access|portability|erasure|correction)Requests/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
    NOT VALID,
  ADD CONSTRAINT record_source CHECK (source = '' OR source ~ '^partners/[a-z0-9-]{3,40}/dataSources/[a-z0-9-]{3,40}$')
    NOT VALID,
  ADD CONSTRAINT record_outcome CHECK (outcome ~ '^[A-Z][A-Z_]{1,39}$') NOT VALID,
  ADD CONSTRAINT record_records CHECK (records >= 0) NOT VALID,
  ADD CONSTRAINT record_of_own CHECK (
    (request = '' OR starts_with(request, partner || '/')) AND (source = '' OR starts_with(source, partner || '/')))
    NOT VALID;
CREATE INDEX processing_record_source ON processing_record (partner, source, record_time DESC, id DESC)
  WHERE source <> '';
