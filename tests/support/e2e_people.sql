-- People who are like Ann Walsh (deploy/local/shop/sql/known.sql) in everything but their names, numbers and ids; and a
-- shop with fewer others in it, so that all of them can be looked at after every kill.

-- name: shrink
-- Without triggers and references: nothing of the person, nor of those kept, refers to who goes here.
SET session_replication_role = replica;
DELETE FROM customers WHERE id BETWEEN 301 AND 900000;
UPDATE customers SET referred_by = NULL WHERE referred_by BETWEEN 301 AND 900000;
DELETE FROM addresses WHERE customer_id BETWEEN 301 AND 900000;
DELETE FROM order_items AS i USING orders AS o
WHERE o.id = i.order_id AND o.placed_at = i.placed_at AND o.customer_id BETWEEN 301 AND 900000;
DELETE FROM payments AS p USING orders AS o
WHERE o.id = p.order_id AND o.placed_at = p.placed_at AND o.customer_id BETWEEN 301 AND 900000;
DELETE FROM notes
WHERE
    (subject_type = 'Customer' AND subject_id BETWEEN 301 AND 900000)
    OR (subject_type = 'Order' AND subject_id IN (SELECT id FROM orders WHERE customer_id BETWEEN 301 AND 900000));
DELETE FROM orders WHERE customer_id BETWEEN 301 AND 900000;
DELETE FROM reviews WHERE customer_id BETWEEN 301 AND 900000;
DELETE FROM cart_items AS i USING carts AS c WHERE c.id = i.cart_id AND c.customer_id BETWEEN 301 AND 900000;
DELETE FROM carts WHERE customer_id BETWEEN 301 AND 900000;
DELETE FROM support_messages AS m USING support_tickets AS t
WHERE t.id = m.ticket_id AND t.customer_id BETWEEN 301 AND 900000;
DELETE FROM support_tickets WHERE customer_id BETWEEN 301 AND 900000;
DELETE FROM page_views WHERE customer_id BETWEEN 301 AND 900000;
DELETE FROM invoices WHERE customer_number NOT IN (SELECT customer_number FROM customers);
DELETE FROM newsletter_subscriptions WHERE email NOT IN (SELECT email FROM customers);
SET session_replication_role = DEFAULT;

-- name: add_customer
INSERT INTO customers (
    id, customer_number, email, given_name, family_name, phone, birth_date, tier, interests, preferences, credit_limit,
    member_during, churn_score, country_code, default_address_no, created_at, updated_at
)
SELECT
    $1, $2, $3, $4, $5, $6, birth_date, tier, interests, preferences, credit_limit,
    member_during, churn_score, country_code, default_address_no, created_at, updated_at
FROM customers WHERE id = 900001

-- name: add_addresses
INSERT INTO addresses
SELECT $1, address_no, $2, $3, city, postcode, country_code, geo FROM addresses WHERE customer_id = 900001

-- name: add_orders
INSERT INTO orders
SELECT $1::bigint * 10 + id - 900000, placed_at, $1, delivery_address_no, status, total, ip, gift_message
FROM orders WHERE customer_id = 900001

-- name: add_order_items
INSERT INTO order_items (order_id, placed_at, line_no, product_id, quantity, unit_price, engraving)
SELECT o.id, i.placed_at, i.line_no, i.product_id, i.quantity, i.unit_price, i.engraving
FROM orders AS o INNER JOIN order_items AS i ON i.order_id = o.id - $1::bigint * 10 + 900000 AND i.placed_at = o.placed_at
WHERE o.customer_id = $1

-- name: add_payments
INSERT INTO payments
SELECT o.id, o.id, p.placed_at, p.method, p.card_last4, p.amount, p.paid_at
FROM orders AS o INNER JOIN payments AS p ON p.order_id = o.id - $1::bigint * 10 + 900000 AND p.placed_at = o.placed_at
WHERE o.customer_id = $1

-- name: add_invoices
INSERT INTO invoices (number, customer_number, order_id, billing_name, billing_address, billing_email, net, vat, issued_on)
SELECT 'INV-' || id, $2, id, $3, $4, $5, 82.00, 18.86, placed_at::date FROM orders WHERE customer_id = $1 AND id % 2 = 1

-- name: add_reviews
INSERT INTO reviews
SELECT $1::bigint * 10 + id - 900000, product_id, $1, $2, rating, body, written_at FROM reviews WHERE customer_id = 900001

-- name: add_carts
INSERT INTO carts SELECT md5('known' || $1::bigint)::uuid, $1, changed_at FROM carts WHERE customer_id = 900001

-- name: add_cart_items
INSERT INTO cart_items
SELECT md5('known' || $1::bigint)::uuid, i.product_id, i.quantity, i.wish
FROM cart_items AS i INNER JOIN carts AS c ON i.cart_id = c.id
WHERE c.customer_id = 900001

-- name: add_tickets
INSERT INTO support_tickets SELECT $1, $1, topic, opened_at FROM support_tickets WHERE customer_id = 900001

-- name: add_messages
INSERT INTO support_messages
SELECT $1, message_no, from_customer, clerk_name, copied_to, $2 || ' writes: ' || body, sent_at
FROM support_messages WHERE ticket_id = 900001

-- name: add_notes
INSERT INTO notes
SELECT $1::bigint * 10 + row_number() OVER (ORDER BY type, thing.id), type, thing.id, 'Dara Flynn', 'Prefers mornings.', '2025-05-06 07:08:09+00'
FROM (
    SELECT 'Customer' AS type, $1::bigint AS id
    UNION ALL
    SELECT 'Order', id FROM orders WHERE customer_id = $1
) AS thing

-- name: add_page_views
INSERT INTO page_views
SELECT $1, '2025-06-01 12:00+00'::timestamptz + (n / 2) * interval '1 second', '/products/' || n % 2000, '203.0.113.9', '30 seconds'
FROM generate_series(2, 1 + $2::int) AS n

-- name: add_subscription
INSERT INTO newsletter_subscriptions
SELECT $1, topics, consented_at, proof FROM newsletter_subscriptions WHERE email = 'ann.walsh@example.com'

-- name: review_ids
SELECT array_agg(id)::text FROM reviews WHERE customer_id = $1
