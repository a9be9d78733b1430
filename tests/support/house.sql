-- What there is before the first partner is, known operations and the like; and what brings that back.
CREATE SCHEMA pristine;
CREATE VIEW pristine.tables AS
  SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
  WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'dsr', 'pristine');

DO $$ DECLARE t text; filled boolean; BEGIN
  FOR t IN SELECT name FROM pristine.tables LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', t) INTO filled;
    IF filled THEN EXECUTE format('CREATE TABLE pristine.%I AS TABLE %s', t, t); END IF;
  END LOOP;
END $$;

-- As a replica it runs no triggers that forbid it, and minds no foreign keys that ask for an order. The numbers of the
-- queue go on: it may be about to say of an old job that it is done.
CREATE PROCEDURE pristine.restore() LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE t text; BEGIN
  FOR t IN SELECT name FROM pristine.tables LOOP
    EXECUTE format('DELETE FROM %s', t);
  END LOOP;
  FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'pristine' LOOP
    EXECUTE format('INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM pristine.%I', t, t);
  END LOOP;
  PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences
    WHERE sequencename NOT LIKE 'pgqueuer%' AND last_value IS NOT NULL;
END $$;
