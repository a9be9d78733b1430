-- name: create
INSERT INTO sandbox (partner) VALUES (dsr.current_partner())

-- name: sandbox
SELECT * FROM sandbox

-- name: reset
UPDATE sandbox SET resets = resets + 1, reset_time = $1

-- name: lock
SELECT * FROM sandbox FOR UPDATE

-- name: advance
UPDATE sandbox SET ahead = $1

-- name: behind
SELECT count(*) AS services FROM unnest($1::text[]) AS wanted(service)
WHERE NOT EXISTS (
  SELECT 1 FROM sandbox_follower AS f JOIN sandbox AS s USING (partner)
  WHERE f.service = wanted.service AND f.ahead = s.ahead
)

-- name: orders
SELECT partner, ahead FROM sandbox AS s
WHERE NOT EXISTS (SELECT 1 FROM sandbox_follower AS f WHERE f.partner = s.partner AND f.service = $1 AND f.ahead = s.ahead)

-- name: follow
INSERT INTO sandbox_follower (partner, service, ahead) VALUES (dsr.current_partner(), $1, $2)
ON CONFLICT (partner, service) DO UPDATE SET ahead = EXCLUDED.ahead

-- name: clock
SELECT sandbox.ahead FROM partner LEFT JOIN sandbox USING (partner)
