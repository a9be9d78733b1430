-- A shop with every shape that has broken such a tool before. Three people with near-identical identifiers, two tenants.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN postcode AS text CHECK (length(value) BETWEEN 3 AND 10);

CREATE TABLE countries (code char(2) PRIMARY KEY, name text NOT NULL);

CREATE TABLE customers (
  tenant_id integer NOT NULL,
  id bigint NOT NULL,
  email text NOT NULL,
  customer_number text NOT NULL,
  phone text,
  name text,
  name_length integer GENERATED ALWAYS AS (length(name)) STORED,
  mood mood DEFAULT 'ok',
  country char(2) REFERENCES countries,
  referred_by bigint,
  default_address bigint,
  deleted_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, email),
  UNIQUE (tenant_id, customer_number),
  CONSTRAINT customers_referred_by_fkey FOREIGN KEY (tenant_id, referred_by) REFERENCES customers ON DELETE RESTRICT
);
CREATE INDEX ON customers (lower(email));
CREATE INDEX ON customers (tenant_id, referred_by);

CREATE TABLE addresses (
  tenant_id integer NOT NULL,
  id bigint NOT NULL,
  customer_id bigint NOT NULL,
  postcode postcode,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT addresses_customer_fkey FOREIGN KEY (tenant_id, customer_id) REFERENCES customers ON DELETE RESTRICT
);
CREATE INDEX ON addresses (tenant_id, customer_id);
-- a circle: customers -> addresses -> customers
ALTER TABLE customers ADD CONSTRAINT customers_default_address_fkey
  FOREIGN KEY (tenant_id, default_address) REFERENCES addresses (tenant_id, id);
CREATE INDEX ON customers (tenant_id, default_address);

-- partitioned, composite key
CREATE TABLE orders (
  tenant_id integer NOT NULL,
  id bigint NOT NULL,
  placed date NOT NULL,
  customer_id bigint NOT NULL,
  total numeric(12, 2),
  PRIMARY KEY (tenant_id, id, placed),
  CONSTRAINT orders_customer_fkey FOREIGN KEY (tenant_id, customer_id) REFERENCES customers
) PARTITION BY RANGE (placed);
CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON orders (tenant_id, customer_id);

-- a child without the tenant's column
CREATE TABLE order_items (
  order_tenant integer NOT NULL,
  order_id bigint NOT NULL,
  order_placed date NOT NULL,
  line smallint NOT NULL,
  article text,
  PRIMARY KEY (order_tenant, order_id, order_placed, line),
  CONSTRAINT order_items_order_fkey FOREIGN KEY (order_tenant, order_id, order_placed) REFERENCES orders ON DELETE CASCADE
);

-- no key, duplicates included
CREATE TABLE clicks (
  tenant_id integer NOT NULL,
  customer_id bigint,
  page text,
  CONSTRAINT clicks_customer_fkey FOREIGN KEY (tenant_id, customer_id) REFERENCES customers ON DELETE SET NULL (customer_id)
);
CREATE INDEX ON clicks (tenant_id, customer_id);

-- refers to itself, to any depth, and deferrably
CREATE TABLE comments (
  tenant_id integer NOT NULL,
  id bigint PRIMARY KEY,
  author_id bigint,
  parent_id bigint REFERENCES comments DEFERRABLE INITIALLY DEFERRED,
  body text,
  CONSTRAINT comments_author_fkey FOREIGN KEY (tenant_id, author_id) REFERENCES customers
);
CREATE INDEX ON comments (tenant_id, author_id);
CREATE INDEX ON comments (parent_id);

-- two people in one row
CREATE TABLE messages (
  tenant_id integer NOT NULL,
  id bigint PRIMARY KEY,
  sender_id bigint NOT NULL,
  recipient_id bigint,
  body text,
  CONSTRAINT messages_sender_fkey FOREIGN KEY (tenant_id, sender_id) REFERENCES customers,
  CONSTRAINT messages_recipient_fkey FOREIGN KEY (tenant_id, recipient_id) REFERENCES customers
);
CREATE INDEX ON messages (tenant_id, sender_id);
CREATE INDEX ON messages (tenant_id, recipient_id);

-- polymorphic, and the referring column has another type
CREATE TABLE notes (
  tenant_id integer NOT NULL,
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  subject_type text NOT NULL,
  subject_id text NOT NULL,
  body text
);
CREATE INDEX ON notes (subject_type, subject_id);

-- kept by law
CREATE TABLE invoices (
  tenant_id integer NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_number text NOT NULL,
  bill_to text,
  amount numeric
);
CREATE INDEX ON invoices (customer_number);

INSERT INTO countries VALUES ('DE', 'Germany'), ('IE', 'Ireland');

-- the same people in both tenants
INSERT INTO customers (tenant_id, id, email, customer_number, phone, name, country)
SELECT tenant, id, email, number, phone, name, 'DE'
FROM unnest(ARRAY[1, 2]) AS tenant,
  (VALUES
    (7, 'ann@example.com', '7', '+44 20 7946 0958', 'Ann'),
    (70, 'joann@example.com', '70', '020 7946 0959', 'Jo Ann'),
    (77, 'ANN@example.com', '007', '+44 (0)20 7946 0958', 'Another Ann'),
    (700, 'ann@example.com.evil.org', '7 ', NULL, 'Not Ann'),
    (8, 'bob@example.com', '8', NULL, 'Bob')
  ) AS person (id, email, number, phone, name);
UPDATE customers SET referred_by = 7 WHERE id = 7;
INSERT INTO addresses SELECT tenant_id, id * 10 + n, id, 'D-1000' FROM customers, generate_series(1, 2) AS n;
UPDATE customers SET default_address = id * 10 + 1;
INSERT INTO orders SELECT tenant_id, id * 100 + n, date '2025-07-01' + n * 40, id, n * 1.5 FROM customers, generate_series(1, 10) AS n;
INSERT INTO order_items SELECT tenant_id, id, placed, n, 'thing' FROM orders, generate_series(1, 3) AS n;
INSERT INTO clicks SELECT tenant_id, id, 'home' FROM customers, generate_series(1, 4);
INSERT INTO clicks VALUES (1, NULL, 'home'), (2, NULL, 'home');
INSERT INTO comments SELECT tenant_id, tenant_id * 1000000 + id * 100 + n, id, nullif(tenant_id * 1000000 + id * 100 + n - 1, tenant_id * 1000000 + id * 100), 'hm'
FROM customers, generate_series(1, 30) AS n;
INSERT INTO messages SELECT tenant_id, tenant_id * 1000000 + id, id, CASE id WHEN 7 THEN 8 WHEN 8 THEN 7 END, 'hello' FROM customers;
INSERT INTO notes (tenant_id, subject_type, subject_id, body) SELECT tenant_id, 'Customer', id::text, 'nice' FROM customers;
INSERT INTO notes (tenant_id, subject_type, subject_id, body) SELECT tenant_id, 'Order', id::text, 'late' FROM orders;
INSERT INTO notes (tenant_id, subject_type, subject_id, body) VALUES (1, 'Parcel', '7', 'x'), (1, 'Customer', 'seven', 'x');
INSERT INTO invoices (tenant_id, customer_number, bill_to, amount) SELECT tenant_id, customer_number, name, 10 FROM customers;
