-- Points at which a database makes its client wait, so that something can be done to it right there. A failpoint holds
-- who comes to it by an advisory lock that a test has.

-- name: install
CREATE SCHEMA IF NOT EXISTS failpoint;
GRANT USAGE ON SCHEMA failpoint TO public;
CREATE TABLE IF NOT EXISTS failpoint.armed (point text PRIMARY KEY, key int GENERATED ALWAYS AS IDENTITY);
CREATE OR REPLACE FUNCTION failpoint.pass(point text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
DECLARE
  found int := (SELECT a.key FROM failpoint.armed AS a WHERE a.point = pass.point);
BEGIN
  IF found IS NOT NULL THEN
    PERFORM pg_advisory_lock_shared(1147368048, found);
    PERFORM pg_advisory_unlock_shared(1147368048, found);
  END IF;
END $$;

-- name: on_tasks
-- `{schema} taken STEP [SOURCE]`, before an attempt is counted; `… storing …`, before its result is stored; `… stored …`,
-- while that is being committed: whoever did it isn't told.
CREATE OR REPLACE FUNCTION failpoint.task_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF new.attempt > old.attempt THEN
    PERFORM failpoint.pass(tg_table_schema || ' taken ' || new.step || coalesce(' ' || split_part(new.source, '/', 4), ''));
  ELSIF new.state = 'done' AND old.state = 'open' THEN
    PERFORM failpoint.pass(tg_table_schema || ' storing ' || new.step || coalesce(' ' || split_part(new.source, '/', 4), ''));
  END IF;
  RETURN new;
END $$;
CREATE OR REPLACE FUNCTION failpoint.task_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF new.state = 'done' AND old.state = 'open' THEN
    PERFORM failpoint.pass(tg_table_schema || ' stored ' || new.step || coalesce(' ' || split_part(new.source, '/', 4), ''));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER failpoint_before BEFORE UPDATE ON {schema}.task FOR EACH ROW EXECUTE FUNCTION failpoint.task_before();
CREATE CONSTRAINT TRIGGER failpoint_after AFTER UPDATE ON {schema}.task DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION failpoint.task_after();

-- name: on_journal
-- erasing: everything of a person is deleted and not committed; erased: while that is being committed.
CREATE OR REPLACE FUNCTION failpoint.journal_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM failpoint.pass('erasing');
  RETURN new;
END $$;
CREATE OR REPLACE FUNCTION failpoint.journal_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM failpoint.pass('erased');
  RETURN NULL;
END $$;
CREATE TRIGGER failpoint_before BEFORE INSERT ON dsr_journal.erasure
FOR EACH ROW EXECUTE FUNCTION failpoint.journal_before();
CREATE CONSTRAINT TRIGGER failpoint_after AFTER INSERT ON dsr_journal.erasure DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION failpoint.journal_after();

-- name: arm
INSERT INTO failpoint.armed (point) VALUES ($1)
ON CONFLICT (point) DO UPDATE SET point = excluded.point
RETURNING key

-- name: hold
SELECT pg_advisory_lock(1147368048, $1)

-- name: reached
SELECT EXISTS (
  SELECT 1 FROM pg_locks
  WHERE locktype = 'advisory' AND classid = 1147368048 AND objid = $1 AND objsubid = 2 AND NOT granted
)

-- name: disarm
DELETE FROM failpoint.armed WHERE point = $1

-- name: clear
SELECT count(pg_terminate_backend(pid)) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 1147368048 AND objid = $1 AND objsubid = 2 AND NOT granted
