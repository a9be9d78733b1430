-- The shop of the partner "acme", with the shapes that make erasing a person difficult. Keys and references follow in
-- constraints.sql, after the rows: so loading takes seconds.

CREATE DOMAIN email_address AS text CHECK (VALUE ~ '^[^@\s]+@[^@\s]+$');
CREATE TYPE customer_tier AS ENUM ('basic', 'plus', 'gold');
CREATE TYPE order_status AS ENUM ('placed', 'paid', 'shipped', 'delivered', 'returned');

-- Lookup tables: nobody's personal data. Categories refer to themselves.
CREATE TABLE countries (code char(2) NOT NULL, name text NOT NULL, vat_rate numeric(4, 2) NOT NULL);
CREATE TABLE categories (id integer NOT NULL, parent_id integer, name text NOT NULL);
CREATE TABLE products (
    id integer NOT NULL,
    category_id integer NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    price numeric(10, 2) NOT NULL,
    sold_during daterange NOT NULL,
    attributes jsonb NOT NULL
);

-- People. A customer refers to the customer who brought them, and to one of their own addresses, which refer back.
-- Several rows may have one e-mail address: closed accounts stay, with `deleted_at` set.
CREATE TABLE customers (
    id bigint NOT NULL,
    customer_number text NOT NULL,
    email email_address NOT NULL,
    given_name text NOT NULL,
    family_name text NOT NULL,
    full_name text GENERATED ALWAYS AS (given_name || ' ' || family_name) STORED,
    phone text,
    birth_date date,
    tier customer_tier NOT NULL,
    interests text [] NOT NULL,
    preferences jsonb NOT NULL,
    credit_limit numeric(12, 2),
    member_during tstzrange NOT NULL,
    churn_score numeric(4, 3),
    country_code char(2) NOT NULL,
    referred_by bigint,
    default_address_no smallint,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE TABLE addresses (
    customer_id bigint NOT NULL,
    address_no smallint NOT NULL,
    recipient text NOT NULL,
    street text NOT NULL,
    city text NOT NULL,
    postcode text NOT NULL,
    country_code char(2) NOT NULL,
    geo point
);

-- Orders by month. Every reference to an order needs both columns of its key.
CREATE TABLE orders (
    id bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    customer_id bigint NOT NULL,
    delivery_address_no smallint,
    status order_status NOT NULL,
    total numeric(12, 2) NOT NULL,
    ip inet,
    gift_message text
) PARTITION BY RANGE (placed_at);
CREATE TABLE order_items (
    order_id bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    line_no smallint NOT NULL,
    product_id integer NOT NULL,
    quantity integer NOT NULL,
    unit_price numeric(10, 2) NOT NULL,
    line_total numeric(12, 2) GENERATED ALWAYS AS (quantity * unit_price) STORED,
    engraving text
);
CREATE TABLE payments (
    id bigint NOT NULL,
    order_id bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    method text NOT NULL,
    card_last4 char(4),
    amount numeric(12, 2) NOT NULL,
    paid_at timestamptz
);

-- Books of account: they know the customer by number only, without a reference, and repeat name and address.
CREATE TABLE invoices (
    number text NOT NULL,
    customer_number text NOT NULL,
    order_id bigint,
    billing_name text NOT NULL,
    billing_address text NOT NULL,
    billing_email text NOT NULL,
    net numeric(12, 2) NOT NULL,
    vat numeric(12, 2) NOT NULL,
    total numeric(12, 2) GENERATED ALWAYS AS (net + vat) STORED,
    issued_on date NOT NULL
);

CREATE TABLE reviews (
    id bigint NOT NULL,
    product_id integer NOT NULL,
    customer_id bigint,
    author_name text NOT NULL,
    rating smallint NOT NULL,
    body text,
    written_at timestamptz NOT NULL
);
CREATE TABLE carts (id uuid NOT NULL, customer_id bigint NOT NULL, changed_at timestamptz NOT NULL);
CREATE TABLE cart_items (
    cart_id uuid NOT NULL, product_id integer NOT NULL, quantity integer NOT NULL, wish text
);

-- Messages hold other people's data: the clerk's name, and whoever was copied in.
CREATE TABLE support_tickets (
    id bigint NOT NULL, customer_id bigint NOT NULL, topic text NOT NULL, opened_at timestamptz NOT NULL
);
CREATE TABLE support_messages (
    ticket_id bigint NOT NULL,
    message_no smallint NOT NULL,
    from_customer boolean NOT NULL,
    clerk_name text,
    copied_to text [] NOT NULL,
    body text NOT NULL,
    sent_at timestamptz NOT NULL
);

-- One table for notes on two things: which one `subject_id` means, `subject_type` says.
CREATE TABLE notes (
    id bigint NOT NULL,
    subject_type text NOT NULL,
    subject_id bigint NOT NULL,
    clerk_name text NOT NULL,
    body text NOT NULL,
    written_at timestamptz NOT NULL
);

-- No key at all: two equal rows are two visits.
CREATE TABLE page_views (
    customer_id bigint NOT NULL,
    viewed_at timestamptz NOT NULL,
    path text NOT NULL,
    ip inet NOT NULL,
    stayed interval NOT NULL
);

-- Known by e-mail address alone; not all of them are customers.
CREATE TABLE newsletter_subscriptions (
    email text NOT NULL, topics text [] NOT NULL, consented_at timestamptz NOT NULL, proof jsonb NOT NULL
);
