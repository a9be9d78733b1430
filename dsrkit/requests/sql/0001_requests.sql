-- Requests of one right. Personal data stands in `sealed` columns only, under the request's own key.
CREATE TABLE request (
  partner            text        NOT NULL,
  id                 uuid        NOT NULL,
  request_id         uuid        NOT NULL,
  body_digest        bytea       NOT NULL,
  state              text        NOT NULL,
  creator            text        NOT NULL,
  creator_actors     text[]      NOT NULL,
  capacity           text        NOT NULL,
  received_time      timestamptz NOT NULL,
  time_zone          text        NOT NULL,
  due_time           timestamptz NOT NULL,
  extension          jsonb,
  data_map_revision  bigint      NOT NULL DEFAULT 0,
  data_sources       text[]      NOT NULL DEFAULT '{}',
  refusal            jsonb,
  facts              jsonb       NOT NULL DEFAULT '{}', -- what the right adds: ground, formats, plan, report, bundle
  sealed             bytea,                             -- subject, identities, candidates, choices
  bundle_expire_time timestamptz,
  next_event         bigint      NOT NULL DEFAULT 1,
  create_time        timestamptz NOT NULL DEFAULT now(),
  update_time        timestamptz NOT NULL DEFAULT now(),
  complete_time      timestamptz,
  PRIMARY KEY (partner, id),
  CONSTRAINT request_request_id UNIQUE (partner, request_id)
);
CREATE INDEX request_newest ON request (partner, create_time DESC, id DESC);
CREATE INDEX request_bundle ON request (bundle_expire_time) WHERE bundle_expire_time IS NOT NULL;

-- What happened, numbered under the request's row lock so that a watcher can resume without a gap.
CREATE TABLE event (
  partner        text        NOT NULL,
  request        uuid        NOT NULL,
  event          bigint      NOT NULL,
  create_time    timestamptz NOT NULL DEFAULT now(),
  state          text        NOT NULL,
  type           text        NOT NULL,
  step           text,
  source         text,
  attempts       int         NOT NULL DEFAULT 0,
  records        bigint      NOT NULL DEFAULT 0,
  waiting_reason text,
  PRIMARY KEY (partner, request, event),
  FOREIGN KEY (partner, request) REFERENCES request (partner, id)
);

-- Idempotency keys of every other mutation.
CREATE TABLE mutation (
  partner     text        NOT NULL,
  request_id  uuid        NOT NULL,
  method      text        NOT NULL,
  body_digest bytea       NOT NULL,
  request     uuid        NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, request_id)
);

-- Processing records and state changes, written with their effect, shipped to governance afterwards.
CREATE TABLE outbox (
  partner     text        NOT NULL,
  id          uuid        NOT NULL DEFAULT gen_random_uuid(),
  entry       bytea       NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partner, id)
);
CREATE INDEX outbox_oldest ON outbox (create_time);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['request', 'event', 'mutation', 'outbox'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own ON %I TO dsr_{schema} USING (partner = dsr.current_partner()) '
                   'WITH CHECK (partner = dsr.current_partner())', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO dsr_{schema}', name);
  END LOOP;
END $$;
GRANT UPDATE ON request TO dsr_{schema};
GRANT DELETE ON outbox TO dsr_{schema};
CREATE POLICY sweep ON request FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, id, state, due_time, bundle_expire_time) ON request TO dsr_{schema}_sweeper;
CREATE POLICY sweep ON outbox FOR SELECT TO dsr_{schema}_sweeper USING (true);
GRANT SELECT (partner, id, create_time) ON outbox TO dsr_{schema}_sweeper;
