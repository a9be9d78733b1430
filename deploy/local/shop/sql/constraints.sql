ALTER TABLE countries ADD PRIMARY KEY (code);
ALTER TABLE categories ADD PRIMARY KEY (id);
ALTER TABLE categories ADD CONSTRAINT categories_parent_fkey FOREIGN KEY (parent_id) REFERENCES categories;
ALTER TABLE products ADD PRIMARY KEY (id), ADD UNIQUE (sku);
ALTER TABLE products ADD CONSTRAINT products_category_fkey FOREIGN KEY (category_id) REFERENCES categories;

ALTER TABLE customers ADD PRIMARY KEY (id), ADD UNIQUE (customer_number);
CREATE UNIQUE INDEX customers_open_email_key ON customers (email) WHERE deleted_at IS NULL;
CREATE INDEX customers_email_idx ON customers (lower(email));
CREATE INDEX customers_referred_by_idx ON customers (referred_by);
ALTER TABLE addresses ADD PRIMARY KEY (customer_id, address_no);
ALTER TABLE addresses ADD CONSTRAINT addresses_customer_fkey
FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE;
ALTER TABLE customers ADD CONSTRAINT customers_country_fkey FOREIGN KEY (country_code) REFERENCES countries;
ALTER TABLE customers ADD CONSTRAINT customers_referred_by_fkey
FOREIGN KEY (referred_by) REFERENCES customers ON DELETE SET NULL;
ALTER TABLE customers ADD CONSTRAINT customers_default_address_fkey
FOREIGN KEY (id, default_address_no) REFERENCES addresses (customer_id, address_no) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE addresses ADD CONSTRAINT addresses_country_fkey FOREIGN KEY (country_code) REFERENCES countries;

ALTER TABLE orders ADD PRIMARY KEY (id, placed_at);
CREATE INDEX orders_customer_idx ON orders (customer_id);
ALTER TABLE orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer_id) REFERENCES customers ON DELETE RESTRICT;
ALTER TABLE orders ADD CONSTRAINT orders_delivery_address_fkey
FOREIGN KEY (customer_id, delivery_address_no) REFERENCES addresses (customer_id, address_no);
ALTER TABLE order_items ADD PRIMARY KEY (order_id, placed_at, line_no);
ALTER TABLE order_items ADD CONSTRAINT order_items_order_fkey
FOREIGN KEY (order_id, placed_at) REFERENCES orders ON DELETE CASCADE;
ALTER TABLE order_items ADD CONSTRAINT order_items_product_fkey FOREIGN KEY (product_id) REFERENCES products;
ALTER TABLE payments ADD PRIMARY KEY (id);
CREATE INDEX payments_order_idx ON payments (order_id, placed_at);
ALTER TABLE payments ADD CONSTRAINT payments_order_fkey
FOREIGN KEY (order_id, placed_at) REFERENCES orders ON DELETE RESTRICT;

ALTER TABLE invoices ADD PRIMARY KEY (number);
CREATE INDEX invoices_customer_idx ON invoices (customer_number);

ALTER TABLE reviews ADD PRIMARY KEY (id);
CREATE INDEX reviews_customer_idx ON reviews (customer_id);
ALTER TABLE reviews ADD CONSTRAINT reviews_customer_fkey
FOREIGN KEY (customer_id) REFERENCES customers ON DELETE SET NULL;
ALTER TABLE reviews ADD CONSTRAINT reviews_product_fkey FOREIGN KEY (product_id) REFERENCES products;
ALTER TABLE carts ADD PRIMARY KEY (id);
CREATE INDEX carts_customer_idx ON carts (customer_id);
ALTER TABLE carts ADD CONSTRAINT carts_customer_fkey FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE;
ALTER TABLE cart_items ADD PRIMARY KEY (cart_id, product_id);
ALTER TABLE cart_items ADD CONSTRAINT cart_items_cart_fkey FOREIGN KEY (cart_id) REFERENCES carts ON DELETE CASCADE;
ALTER TABLE cart_items ADD CONSTRAINT cart_items_product_fkey FOREIGN KEY (product_id) REFERENCES products;

ALTER TABLE support_tickets ADD PRIMARY KEY (id);
CREATE INDEX support_tickets_customer_idx ON support_tickets (customer_id);
ALTER TABLE support_tickets ADD CONSTRAINT support_tickets_customer_fkey
FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE support_messages ADD PRIMARY KEY (ticket_id, message_no);
ALTER TABLE support_messages ADD CONSTRAINT support_messages_ticket_fkey
FOREIGN KEY (ticket_id) REFERENCES support_tickets ON DELETE CASCADE;
ALTER TABLE notes ADD PRIMARY KEY (id), ADD CHECK (subject_type IN ('Customer', 'Order'));
CREATE INDEX notes_subject_idx ON notes (subject_type, subject_id);
CREATE INDEX page_views_customer_idx ON page_views (customer_id);
ALTER TABLE page_views ADD CONSTRAINT page_views_customer_fkey
FOREIGN KEY (customer_id) REFERENCES customers DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE newsletter_subscriptions ADD PRIMARY KEY (email);

-- A trigger on people: its effect on an erasure must have been considered by somebody.
CREATE FUNCTION customers_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.updated_at := now();
    RETURN new;
END $$;
CREATE TRIGGER customers_touch BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION customers_touch();
