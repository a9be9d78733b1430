-- Packages from before it was known which requests copy whole data sources: an erasure ends them too.
ALTER TABLE termination_item NO FORCE ROW LEVEL SECURITY;
ALTER TABLE termination_copy NO FORCE ROW LEVEL SECURITY;
INSERT INTO termination_copy (partner, request, termination, source)
SELECT partner, return_request, termination, source FROM termination_item WHERE return_request <> ''
ON CONFLICT DO NOTHING;

-- Nothing that was destroyed comes back: where something was, or a confirmation lapsed after it took effect.
ALTER TABLE termination NO FORCE ROW LEVEL SECURITY;
UPDATE termination SET standing_before = NULL
WHERE state = 'DESTROYING' AND (confirmer = '' OR EXISTS (
  SELECT 1 FROM termination_item AS item
  WHERE (item.partner, item.termination) = (termination.partner, termination.id) AND destroy_time IS NOT NULL
));
ALTER TABLE termination FORCE ROW LEVEL SECURITY;
ALTER TABLE termination_copy FORCE ROW LEVEL SECURITY;
ALTER TABLE termination_item FORCE ROW LEVEL SECURITY;
