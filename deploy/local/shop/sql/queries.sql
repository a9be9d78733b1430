-- What SQL says of one person, for whoever wants to check the platform without asking it. One statement per table that
-- holds personal data. The person is in three settings, so that a statement still finds what is left when the customer
-- is gone: shop.person_id, shop.customer_number, shop.email; and in shop.review_ids, for reviews lose their author.

-- name: find
SELECT id, customer_number, email FROM customers WHERE email = $1 AND deleted_at IS NULL

-- name: remember
SELECT
    set_config('shop.person_id', $1, false),
    set_config('shop.customer_number', $2, false),
    set_config('shop.email', $3, false),
    set_config('shop.review_ids', $4, false)

-- name: reviews
SELECT id FROM reviews WHERE customer_id = $1 ORDER BY id

-- name: tables
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class AS c INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1

-- name: public.customers
SELECT * FROM customers WHERE id = current_setting('shop.person_id')::bigint

-- name: public.addresses
SELECT * FROM addresses WHERE customer_id = current_setting('shop.person_id')::bigint

-- name: public.orders
SELECT * FROM orders WHERE customer_id = current_setting('shop.person_id')::bigint

-- name: public.order_items
SELECT i.* FROM order_items AS i INNER JOIN orders AS o ON i.order_id = o.id AND i.placed_at = o.placed_at
WHERE o.customer_id = current_setting('shop.person_id')::bigint

-- name: public.payments
SELECT p.* FROM payments AS p INNER JOIN orders AS o ON p.order_id = o.id AND p.placed_at = o.placed_at
WHERE o.customer_id = current_setting('shop.person_id')::bigint

-- name: public.invoices
SELECT * FROM invoices WHERE customer_number = current_setting('shop.customer_number')

-- name: public.reviews
SELECT * FROM reviews
WHERE
    customer_id = current_setting('shop.person_id')::bigint
    OR id = ANY (current_setting('shop.review_ids')::bigint [])

-- name: public.carts
SELECT * FROM carts WHERE customer_id = current_setting('shop.person_id')::bigint

-- name: public.cart_items
SELECT i.* FROM cart_items AS i INNER JOIN carts AS c ON i.cart_id = c.id
WHERE c.customer_id = current_setting('shop.person_id')::bigint

-- name: public.support_tickets
SELECT * FROM support_tickets WHERE customer_id = current_setting('shop.person_id')::bigint

-- name: public.support_messages
SELECT m.* FROM support_messages AS m INNER JOIN support_tickets AS t ON m.ticket_id = t.id
WHERE t.customer_id = current_setting('shop.person_id')::bigint

-- name: public.notes
SELECT * FROM notes
WHERE
    (subject_type = 'Customer' AND subject_id = current_setting('shop.person_id')::bigint)
    OR (
        subject_type = 'Order'
        AND subject_id IN (SELECT id FROM orders WHERE customer_id = current_setting('shop.person_id')::bigint)
    )

-- name: public.page_views
SELECT * FROM page_views WHERE customer_id = current_setting('shop.person_id')::bigint

-- name: public.newsletter_subscriptions
SELECT * FROM newsletter_subscriptions WHERE email = current_setting('shop.email')
