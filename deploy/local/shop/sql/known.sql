-- People whose records are known one by one: Ann Walsh, others who are nearly her, and some difficult cases.
-- Ids of their rows begin at 900001.

INSERT INTO customers (
    id, customer_number, email, given_name, family_name, phone, birth_date, tier, interests, preferences, credit_limit,
    member_during, churn_score, country_code, referred_by, default_address_no, created_at, updated_at, deleted_at
)
SELECT
    id, customer_number, email, given, family, phone, date '1984-05-17', 'gold', '{garden,craft}',
    '{"language": "en", "contact": {"sms": true}, "sizes": [38, "M"]}', 2500.00,
    '[2022-03-01 10:00+00,)', 0.125, country, referred_by, 1, '2022-03-01 10:00+00', '2022-03-01 10:00+00', deleted_at
FROM (VALUES
    (900001, 'C-104217', 'ann.walsh@example.com', 'Ann', 'Walsh', '+353 20 910 0142', 'IE', 7::bigint, NULL::timestamptz),
    -- Nearly Ann: her name inside another, her address in capitals, with a longer domain, with a wildcard for LIKE.
    (900002, 'C-1042170', 'joann.walsh@example.com', 'Joann', 'Walsh', '+353 20 910 0143', 'IE', NULL, NULL),
    (900003, 'C-104219', 'ANN.WALSH@example.com', 'Ann', 'Walsh', '+353 20 910 0144', 'IE', NULL, NULL),
    (900004, 'C-10421', 'ann.walsh@example.com.au', 'Ann', 'Walsh', '+61 491 570 156', 'AU', NULL, NULL),
    (900005, 'c-104217', 'ann_walsh@example.com', 'Anna', 'Walsh', '+353 20 910 0142', 'IE', NULL, NULL),
    -- One e-mail address, two rows: an account that was closed, and a new one.
    (900006, 'C-204001', 'sam.reed@example.com', 'Sam', 'Reed', NULL, 'GB', NULL, '2024-06-01 12:00+00'),
    (900007, 'C-204002', 'sam.reed@example.com', 'Sam', 'Reed', NULL, 'GB', NULL, NULL),
    -- Somebody whose row the rows of others refer to.
    (900008, 'C-204003', 'paul.meyer@example.org', 'Paul', 'Meyer', NULL, 'DE', NULL, NULL),
    (900009, 'C-204004', 'rita.meyer@example.org', 'Rita', 'Meyer', NULL, 'DE', 900008, NULL)
) AS person (id, customer_number, email, given, family, phone, country, referred_by, deleted_at);

INSERT INTO addresses
SELECT c.id, n, c.given_name || ' ' || c.family_name, n || ' Harbour Road', 'Dublin', 'D02 X285', c.country_code, '(53.35,-6.26)'
FROM customers AS c, generate_series(1, 2) AS n
WHERE c.id > 900000;

-- Six orders of Ann's in six months, two of everybody else's.
INSERT INTO orders
SELECT
    900000 + row_number() OVER (ORDER BY c.id, n), timestamptz '2024-02-10 12:00+00' + n * interval '95 days', c.id, 1 + n % 2,
    'delivered', 100.00 + n, '198.51.100.7', CASE n WHEN 2 THEN 'Happy birthday, Ben!' END
FROM customers AS c, generate_series(1, 6) AS n
WHERE c.id > 900000 AND (c.id = 900001 OR n <= 2);

INSERT INTO order_items (order_id, placed_at, line_no, product_id, quantity, unit_price, engraving)
SELECT o.id, o.placed_at, n, 10 * n, n, 19.99, CASE n WHEN 2 THEN 'For Ben' END
FROM orders AS o, generate_series(1, 3) AS n
WHERE o.id > 900000;

INSERT INTO payments
SELECT id, id, placed_at, 'card', '4242', total, placed_at + interval '2 minutes' FROM orders WHERE id > 900000;

INSERT INTO invoices (number, customer_number, order_id, billing_name, billing_address, billing_email, net, vat, issued_on)
SELECT
    'INV-' || to_char(o.placed_at, 'YYYY') || '-' || o.id, c.customer_number, o.id, c.full_name, '1 Harbour Road, D02 X285 Dublin',
    c.email, 82.00, 18.86, o.placed_at::date
FROM orders AS o INNER JOIN customers AS c ON o.customer_id = c.id
WHERE o.id > 900000 AND o.id % 2 = 1;

INSERT INTO reviews
SELECT 900000 + row_number() OVER (ORDER BY c.id, n), 10 * n, c.id, c.given_name || ' W.', 3 + n, 'Lovely, says my sister Kate.', '2025-03-04 08:00+00'
FROM customers AS c, generate_series(1, 2) AS n
WHERE c.id > 900000;

INSERT INTO carts SELECT md5('known' || id)::uuid, id, '2025-11-30 20:15+00' FROM customers WHERE id > 900000;
INSERT INTO cart_items
SELECT k.id, n, n, CASE n WHEN 1 THEN 'gift wrap, for Kate' END
FROM carts AS k, generate_series(1, 2) AS n
WHERE k.customer_id > 900000;

INSERT INTO support_tickets SELECT id, id, 'Damaged item', '2025-02-01 10:00+00' FROM customers WHERE id > 900000;
INSERT INTO support_messages
SELECT
    t.id, n, n % 2 = 1, CASE WHEN n % 2 = 0 THEN 'Rosa Lind' END, CASE WHEN n = 1 THEN '{kate.burke@example.net}' ELSE '{}' END::text [],
    CASE n WHEN 1 THEN 'The vase for my sister Kate Burke broke.' ELSE 'Message ' || n END, t.opened_at + n * interval '2 hours'
FROM support_tickets AS t, generate_series(1, 4) AS n
WHERE t.id > 900000;

-- The ids of Ann's orders are ids of other customers: a note is hers only by type and id together.
INSERT INTO notes
SELECT 900000 + row_number() OVER (ORDER BY type, id), type, id, 'Dara Flynn', 'Prefers mornings.', '2025-05-06 07:08:09.123456+00'
FROM (
    SELECT 'Customer' AS type, id FROM customers WHERE id > 900000
    UNION ALL
    SELECT 'Order', id FROM orders WHERE id > 900000
) AS thing;

-- Two visits alike in everything: without a key only counting tells them from one.
INSERT INTO page_views
SELECT c.id, '2025-06-01 12:00+00'::timestamptz + (n / 2) * interval '1 minute', '/products/' || n / 2, '203.0.113.9', '30 seconds'
FROM customers AS c, generate_series(2, 41) AS n
WHERE c.id > 900000;

INSERT INTO newsletter_subscriptions
SELECT email, '{offers,news}', '2022-03-02 10:00+00', '{"form": "checkout", "ip": "192.0.2.44"}'
FROM customers WHERE id > 900000 AND deleted_at IS NULL;
