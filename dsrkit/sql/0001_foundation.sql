-- Once per database: who the current partner is. Raises rather than show nothing, for after one SET LOCAL a pooled
-- connection reads '' and a policy that compared with it would silently hide every row.
CREATE FUNCTION dsr.current_partner() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
  partner text := current_setting('dsr.partner', true);
BEGIN
  IF partner IS NULL OR partner = '' THEN
    RAISE EXCEPTION 'no current partner' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN partner;
END $$;
GRANT USAGE ON SCHEMA dsr TO PUBLIC;
