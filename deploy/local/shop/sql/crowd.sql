-- Some 20,000 customers and 700,000 rows, the same on every machine: everything is drawn from a row's number.

-- A number from 0 to n - 1, drawn by `i` for the purpose `salt`.
CREATE FUNCTION pg_temp.pick(i bigint, salt integer, n integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT ((hashint8extended(i, salt) & 9223372036854775807) % n)::integer';

-- One of `list`.
CREATE FUNCTION pg_temp.one_of(i bigint, salt integer, list text []) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT list[1 + ((hashint8extended(i, salt) & 9223372036854775807) % cardinality(list))::integer]';

-- A moment of 2024 or 2025.
CREATE FUNCTION pg_temp.moment(i bigint, salt integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT timestamptz ''2024-01-01 00:00+00''
       + ((hashint8extended(i, salt) & 9223372036854775807) % 63158399)::integer * interval ''1 second''';

INSERT INTO countries VALUES
('IE', 'Ireland', 23), ('GB', 'United Kingdom', 20), ('DE', 'Germany', 19), ('FR', 'France', 20),
('ES', 'Spain', 21), ('NL', 'Netherlands', 21), ('PL', 'Poland', 23), ('AU', 'Australia', 10);

INSERT INTO categories
SELECT i, CASE WHEN i > 8 THEN 1 + pg_temp.pick(i, 1, 8) END, 'Category ' || i FROM generate_series(1, 120) AS i;

INSERT INTO products
SELECT
    i,
    9 + pg_temp.pick(i, 2, 112),
    'SKU-' || lpad(i::text, 5, '0'),
    pg_temp.one_of(i, 3, '{Oak,Linen,Copper,Wool,Glass,Cork,Slate,Willow}') || ' '
    || pg_temp.one_of(i, 4, '{Lamp,Chair,Kettle,Blanket,Bowl,Clock,Mirror,Basket,Desk,Vase}') || ' ' || i,
    (499 + pg_temp.pick(i, 5, 30000)) / 100.0,
    daterange('2023-01-01', CASE WHEN i % 7 = 0 THEN date '2025-06-30' END),
    jsonb_build_object('colour', pg_temp.one_of(i, 6, '{red,green,blue,grey}'), 'grams', 50 + pg_temp.pick(i, 7, 9000))
FROM generate_series(1, 2000) AS i;

INSERT INTO customers (
    id, customer_number, email, given_name, family_name, phone, birth_date, tier, interests, preferences, credit_limit,
    member_during, churn_score, country_code, referred_by, default_address_no, created_at, updated_at, deleted_at
)
SELECT
    i,
    'C-' || 100000 + 3 * i,
    lower(given || '.' || family) || i || '@example.' || pg_temp.one_of(i, 10, '{com,org,net}'),
    given,
    family,
    CASE WHEN i % 5 > 0 THEN '+44 7700 900' || lpad(pg_temp.pick(i, 11, 1000)::text, 3, '0') END,
    CASE WHEN i % 3 > 0 THEN date '1945-01-01' + pg_temp.pick(i, 12, 22000) END,
    pg_temp.one_of(i, 13, '{basic,basic,basic,plus,plus,gold}')::customer_tier,
    ARRAY[pg_temp.one_of(i, 14, '{garden,kitchen,office}'), pg_temp.one_of(i, 15, '{sale,new,craft}')],
    jsonb_build_object('language', pg_temp.one_of(i, 16, '{en,de,fr,pl}'), 'contact', jsonb_build_object('sms', i % 4 = 0)),
    CASE WHEN i % 6 = 0 THEN 100 * pg_temp.pick(i, 17, 50) END,
    tstzrange(created, CASE WHEN i % 29 = 0 THEN created + interval '400 days' END),
    pg_temp.pick(i, 18, 1000) / 1000.0,
    pg_temp.one_of(i, 19, '{IE,IE,GB,GB,DE,FR,ES,NL,PL}'),
    CASE WHEN i > 100 AND i % 11 = 0 THEN 1 + pg_temp.pick(i, 20, 100) END,
    1,
    created,
    created,
    CASE WHEN i % 97 = 0 THEN created + interval '500 days' END
FROM (
    SELECT
        i,
        timestamptz '2022-01-01 09:00+00' + pg_temp.pick(i, 21, 700) * interval '1 day' AS created,
        pg_temp.one_of(i, 22, '{Ann,Joan,Maria,Nora,Ewa,Lena,Clara,Aoife,Zoe,Ines,Ruth,Vera,Ada,Mia,Eva,Iris,Tom,Liam,'
            'Paul,Omar,Hugo,Noah,Ivan,Jan,Luis,Karl,Finn,Sean,Emil,Ravi,Adam,Otto}') AS given,
        pg_temp.one_of(i, 23, '{Murphy,Kelly,Byrne,Ryan,Walsh,Smith,Jones,Patel,Khan,Evans,Meyer,Weber,Wagner,Fischer,'
            'Martin,Bernard,Dubois,Garcia,Lopez,Ruiz,Vries,Jansen,Bakker,Nowak,Wojcik,Kaminski,Reed,Hughes,Doyle,Quinn}')
            AS family
    FROM generate_series(1, 20480) AS i
) AS person;

INSERT INTO addresses
SELECT
    c.id,
    n,
    c.given_name || ' ' || c.family_name,
    1 + pg_temp.pick(c.id * 4 + n, 30, 240) || ' '
    || pg_temp.one_of(c.id * 4 + n, 31, '{Mill Lane,Harbour Road,Elm Street,High Street,Quay Street,Bridge Road,Park View}'),
    pg_temp.one_of(c.id * 4 + n, 32, '{Dublin,Cork,Leeds,London,Frankfurt,Lyon,Seville,Utrecht,Gdansk}'),
    lpad(pg_temp.pick(c.id * 4 + n, 33, 99999)::text, 5, '0'),
    c.country_code,
    point(pg_temp.pick(c.id, 34, 1800) / 10.0 - 90, pg_temp.pick(c.id, 35, 900) / 10.0 - 45)
FROM customers AS c, generate_series(1, 2) AS n
WHERE n = 1 OR c.id % 4 = 0;

INSERT INTO orders
SELECT
    i,
    timestamptz '2024-01-01 00:00+00' + i * interval '788 seconds',
    1 + pg_temp.pick(i, 40, 20480),
    1,
    pg_temp.one_of(i, 41, '{placed,paid,shipped,delivered,delivered,delivered,returned}')::order_status,
    (1000 + pg_temp.pick(i, 42, 90000)) / 100.0,
    inet '198.51.100.0' + pg_temp.pick(i, 43, 256),
    CASE WHEN i % 19 = 0 THEN 'Happy birthday, ' || pg_temp.one_of(i, 44, '{Ben,Grandma,Ola,Marc}') || '!' END
FROM generate_series(1, 80000) AS i;

INSERT INTO order_items (order_id, placed_at, line_no, product_id, quantity, unit_price, engraving)
SELECT
    o.id,
    o.placed_at,
    n,
    1 + pg_temp.pick(o.id * 8 + n, 50, 2000),
    1 + pg_temp.pick(o.id * 8 + n, 51, 3),
    (500 + pg_temp.pick(o.id * 8 + n, 52, 12000)) / 100.0,
    CASE WHEN (o.id + n) % 41 = 0 THEN 'For ' || pg_temp.one_of(o.id, 53, '{Ben,Ola,Marc,Sue}') END
FROM orders AS o, generate_series(1, 4) AS n
WHERE n <= 1 + pg_temp.pick(o.id, 54, 4);

INSERT INTO payments
SELECT
    id,
    id,
    placed_at,
    pg_temp.one_of(id, 60, '{card,card,transfer,wallet}'),
    CASE WHEN pg_temp.one_of(id, 60, '{card,card,transfer,wallet}') = 'card' THEN lpad(pg_temp.pick(id, 61, 10000)::text, 4, '0') END,
    total,
    placed_at + interval '2 minutes'
FROM orders;

INSERT INTO invoices (number, customer_number, order_id, billing_name, billing_address, billing_email, net, vat, issued_on)
SELECT
    'INV-' || to_char(o.placed_at, 'YYYY') || '-' || lpad(o.id::text, 6, '0'),
    c.customer_number,
    o.id,
    c.given_name || ' ' || c.family_name,
    a.street || ', ' || a.postcode || ' ' || a.city,
    c.email,
    round(o.total / 1.23, 2),
    o.total - round(o.total / 1.23, 2),
    o.placed_at::date
FROM orders AS o
INNER JOIN customers AS c ON o.customer_id = c.id
INNER JOIN addresses AS a ON o.customer_id = a.customer_id AND o.delivery_address_no = a.address_no
WHERE o.id % 4 > 0;

INSERT INTO reviews
SELECT
    i,
    1 + pg_temp.pick(i, 70, 2000),
    c.id,
    c.given_name || ' ' || left(c.family_name, 1) || '.',
    1 + pg_temp.pick(i, 71, 5),
    pg_temp.one_of(i, 72, '{"Exactly as shown.","My neighbours asked where I got it.","A little smaller than I thought.",'
        '"Broke in a week.","Second one I buy."}'),
    pg_temp.moment(i, 73)
FROM generate_series(1, 16000) AS i
INNER JOIN customers AS c ON c.id = 1 + pg_temp.pick(i, 74, 20480);

INSERT INTO carts
SELECT md5('cart' || i)::uuid, 1 + pg_temp.pick(i, 80, 20480), pg_temp.moment(i, 81) FROM generate_series(1, 6000) AS i;
INSERT INTO cart_items
SELECT
    md5('cart' || i)::uuid,
    1 + (pg_temp.pick(i, 82, 600) * 3 + n),
    1 + pg_temp.pick(i * 4 + n, 83, 3),
    CASE WHEN (i + n) % 13 = 0 THEN 'gift wrap' END
FROM generate_series(1, 6000) AS i, generate_series(0, 2) AS n
WHERE n <= pg_temp.pick(i, 84, 3);

INSERT INTO support_tickets
SELECT
    i,
    1 + pg_temp.pick(i, 90, 20480),
    pg_temp.one_of(i, 91, '{"Where is my order?","Return","Invoice","Damaged item","Change of address"}'),
    pg_temp.moment(i, 92)
FROM generate_series(1, 8000) AS i;
INSERT INTO support_messages
SELECT
    t.id,
    n,
    n % 2 = 1,
    CASE WHEN n % 2 = 0 THEN pg_temp.one_of(t.id, 93, '{"Dara Flynn","Mel Okafor","Rosa Lind"}') END,
    CASE WHEN t.id % 9 = 0 THEN ARRAY['partner' || t.id || '@example.net'] ELSE '{}' END,
    pg_temp.one_of(t.id * 8 + n, 94, '{"Could you please check?","It was left with my neighbour, Mrs Hall.",'
        '"We are looking into it.","Thank you, that settles it.","My husband will sign for it."}'),
    t.opened_at + n * interval '5 hours'
FROM support_tickets AS t, generate_series(1, 4) AS n
WHERE n <= 2 + pg_temp.pick(t.id, 95, 3);

-- The numbers of customers and of orders overlap: a note belongs to a person only by both columns.
INSERT INTO notes
SELECT
    i,
    CASE WHEN i % 3 = 0 THEN 'Order' ELSE 'Customer' END,
    CASE WHEN i % 3 = 0 THEN 1 + pg_temp.pick(i, 100, 80000) ELSE 1 + pg_temp.pick(i, 101, 20480) END,
    pg_temp.one_of(i, 102, '{"Dara Flynn","Mel Okafor","Rosa Lind"}'),
    pg_temp.one_of(i, 103, '{"Called back.","Prefers mornings.","Asked for a discount.","Address confirmed."}'),
    pg_temp.moment(i, 104)
FROM generate_series(1, 10000) AS i;

INSERT INTO page_views
SELECT
    1 + pg_temp.pick(i, 110, 20480),
    pg_temp.moment(i, 111),
    '/products/' || 1 + pg_temp.pick(i, 112, 2000),
    inet '203.0.113.0' + pg_temp.pick(i, 113, 256),
    pg_temp.pick(i, 114, 600) * interval '1 second'
FROM generate_series(1, 160000) AS i;

INSERT INTO newsletter_subscriptions
SELECT
    email,
    ARRAY[pg_temp.one_of(id, 120, '{offers,stories}'), 'news'],
    created_at + interval '1 day',
    jsonb_build_object('form', 'footer', 'ip', host(inet '192.0.2.0' + pg_temp.pick(id, 121, 256)))
FROM customers WHERE id % 3 = 0 AND deleted_at IS NULL;
INSERT INTO newsletter_subscriptions
SELECT 'reader' || i || '@example.org', '{news}', pg_temp.moment(i, 122), '{"form": "popup"}'
FROM generate_series(1, 2000) AS i;
