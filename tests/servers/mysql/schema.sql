-- A shop with every shape that has broken such a tool before, as MariaDB knows them. People with near-identical
-- identifiers, which its usual collations take for one and the same; two tenants.
CREATE TABLE countries (code char(2) PRIMARY KEY, name text NOT NULL);

CREATE TABLE customers (
  tenant_id int NOT NULL,
  id bigint NOT NULL,
  email varchar(200) NOT NULL,                                  -- utf8mb4_general_ci: no case, no trailing space
  customer_number varchar(40) COLLATE utf8mb4_bin NOT NULL,     -- case, and still no trailing space
  card bigint unsigned,
  phone varchar(40),
  name varchar(100),
  name_length int GENERATED ALWAYS AS (char_length(name)) STORED,
  initial char(1) GENERATED ALWAYS AS (left(name, 1)) VIRTUAL,
  mood enum('sad', 'ok', 'happy') DEFAULT 'ok',
  country char(2),
  referred_by bigint,
  default_address bigint,
  deleted_at datetime,
  PRIMARY KEY (tenant_id, id),
  INDEX (tenant_id, email),
  INDEX (email),
  INDEX (customer_number),
  INDEX (card),
  CONSTRAINT customers_country FOREIGN KEY (country) REFERENCES countries (code),
  CONSTRAINT customers_referred_by FOREIGN KEY (tenant_id, referred_by) REFERENCES customers (tenant_id, id)
    ON DELETE RESTRICT
);

CREATE TABLE addresses (
  tenant_id int NOT NULL,
  id bigint NOT NULL,
  customer_id bigint NOT NULL,
  postcode varchar(10),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT addresses_customer FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id)
    ON DELETE RESTRICT
);
-- a circle: customers -> addresses -> customers
ALTER TABLE customers ADD CONSTRAINT customers_default_address
  FOREIGN KEY (tenant_id, default_address) REFERENCES addresses (tenant_id, id);

CREATE TABLE orders (
  tenant_id int NOT NULL,
  id bigint NOT NULL,
  placed date NOT NULL,
  customer_id bigint NOT NULL,
  total decimal(12, 2),
  PRIMARY KEY (tenant_id, id, placed),
  CONSTRAINT orders_customer FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id)
);

-- a child without the tenant's column
CREATE TABLE order_items (
  order_tenant int NOT NULL,
  order_id bigint NOT NULL,
  order_placed date NOT NULL,
  line smallint NOT NULL,
  article text,
  PRIMARY KEY (order_tenant, order_id, order_placed, line),
  CONSTRAINT order_items_order FOREIGN KEY (order_tenant, order_id, order_placed)
    REFERENCES orders (tenant_id, id, placed) ON DELETE CASCADE
);

-- no primary key; a unique one tells its rows apart
CREATE TABLE clicks (
  n bigint unsigned NOT NULL AUTO_INCREMENT UNIQUE,
  tenant_id int NOT NULL,
  customer_id bigint,
  page text,
  CONSTRAINT clicks_customer FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id) ON DELETE CASCADE
);

-- refers to itself, to any depth
CREATE TABLE comments (
  tenant_id int NOT NULL,
  id bigint PRIMARY KEY,
  author_id bigint,
  parent_id bigint,
  body text,
  CONSTRAINT comments_parent FOREIGN KEY (parent_id) REFERENCES comments (id) ON DELETE SET NULL,
  CONSTRAINT comments_author FOREIGN KEY (tenant_id, author_id) REFERENCES customers (tenant_id, id)
);

-- two people in one row
CREATE TABLE messages (
  tenant_id int NOT NULL,
  id bigint PRIMARY KEY,
  sender_id bigint NOT NULL,
  recipient_id bigint,
  body text,
  CONSTRAINT messages_sender FOREIGN KEY (tenant_id, sender_id) REFERENCES customers (tenant_id, id),
  CONSTRAINT messages_recipient FOREIGN KEY (tenant_id, recipient_id) REFERENCES customers (tenant_id, id)
);

-- polymorphic, and the referring column has another type, which MariaDB would compare as floating point
CREATE TABLE notes (
  tenant_id int NOT NULL,
  id uuid PRIMARY KEY DEFAULT uuid(),
  subject_type varchar(40) NOT NULL,
  subject_id varchar(40) NOT NULL,
  body text,
  INDEX (subject_type, subject_id)
);

-- partitioned: no foreign keys, so only the number says whose it is
CREATE TABLE visits (
  tenant_id int NOT NULL,
  id bigint NOT NULL,
  day date NOT NULL,
  customer_number varchar(40) COLLATE utf8mb4_bin,
  PRIMARY KEY (id, day),
  INDEX (customer_number)
) PARTITION BY RANGE COLUMNS (day) (
  PARTITION p2025 VALUES LESS THAN ('2026-01-01'),
  PARTITION pmax VALUES LESS THAN (MAXVALUE)
);

-- kept by law
CREATE TABLE invoices (
  tenant_id int NOT NULL,
  id bigint PRIMARY KEY AUTO_INCREMENT,
  customer_number varchar(40) NOT NULL,                         -- another collation than the customers'
  bill_to text,
  amount decimal(10, 2),
  INDEX (customer_number)
);

INSERT INTO countries VALUES ('DE', 'Germany'), ('IE', 'Ireland');

-- the same people in both tenants
INSERT INTO customers (tenant_id, id, email, customer_number, card, phone, name, country)
SELECT tenant.seq, person.id, person.email, person.number, person.card, person.phone, person.name, 'DE'
FROM seq_1_to_2 AS tenant,
  (
    SELECT 7 AS id, 'ann@example.com' AS email, '7' AS number, 7 AS card, '+44 20 7946 0958' AS phone, 'Ann' AS name
    UNION ALL SELECT 70, 'joann@example.com', '70', 70, '020 7946 0959', 'Jo Ann'
    UNION ALL SELECT 77, 'ANN@example.com', '007', 700, '+44 (0)20 7946 0958', 'Another Ann'
    UNION ALL SELECT 700, 'ann@example.com.au', '7 ', 18446744073709551615, NULL, 'Not Ann'
    UNION ALL SELECT 701, 'ann@example.com ', '7x', NULL, NULL, 'Ann with a space'
    UNION ALL SELECT 702, 'änn@example.com', '7.0', NULL, NULL, 'Änn'
    UNION ALL SELECT 8, 'bob@example.com', '8', 8, NULL, 'Bob'
  ) AS person;
UPDATE customers SET referred_by = 7 WHERE id = 7;
INSERT INTO addresses SELECT tenant_id, id * 10 + n.seq, id, 'D-1000' FROM customers, seq_1_to_2 AS n;
UPDATE customers SET default_address = id * 10 + 1;
INSERT INTO orders
SELECT tenant_id, id * 100 + n.seq, date '2025-07-01' + INTERVAL n.seq * 40 DAY, id, n.seq * 1.5
FROM customers, seq_1_to_10 AS n;
INSERT INTO order_items SELECT tenant_id, id, placed, n.seq, 'thing' FROM orders, seq_1_to_3 AS n;
INSERT INTO clicks (tenant_id, customer_id, page) SELECT tenant_id, id, 'home' FROM customers, seq_1_to_4;
INSERT INTO clicks (tenant_id, customer_id, page) VALUES (1, NULL, 'home'), (2, NULL, 'home');
INSERT INTO comments
SELECT tenant_id, tenant_id * 1000000 + id * 100 + n.seq, id,
  nullif(tenant_id * 1000000 + id * 100 + n.seq - 1, tenant_id * 1000000 + id * 100), 'hm'
FROM customers, seq_1_to_30 AS n ORDER BY 2;
INSERT INTO messages
SELECT tenant_id, tenant_id * 1000000 + id, id, CASE id WHEN 7 THEN 8 WHEN 8 THEN 7 END, 'hello' FROM customers;
INSERT INTO notes (tenant_id, subject_type, subject_id, body)
SELECT tenant_id, 'Customer', CAST(id AS char), 'nice' FROM customers;
INSERT INTO notes (tenant_id, subject_type, subject_id, body)
SELECT tenant_id, 'Order', CAST(id AS char), 'late' FROM orders;
-- neither a number, nor the number that MariaDB takes them for
INSERT INTO notes (tenant_id, subject_type, subject_id, body)
VALUES (1, 'Parcel', '7', 'x'), (1, 'Customer', 'seven', 'x'), (1, 'Customer', '7x', 'x'), (1, 'Customer', '07', 'x'),
  (1, 'customer', '7', 'x'), (1, 'Customer', '7 ', 'x');
INSERT INTO visits
SELECT tenant_id, tenant_id * 100000 + id * 10 + n.seq, date '2025-12-31' + INTERVAL n.seq - 1 DAY, customer_number
FROM customers, seq_1_to_2 AS n;
INSERT INTO invoices (tenant_id, customer_number, bill_to, amount)
SELECT tenant_id, customer_number, name, 10 FROM customers;
