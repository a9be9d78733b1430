-- name: create
INSERT INTO sandbox (partner) VALUES (dsr.current_partner())

-- name: sandbox
SELECT * FROM sandbox

-- name: reset
UPDATE sandbox SET resets = resets + 1, reset_time = $1
