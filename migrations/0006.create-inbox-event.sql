-- depends: 0001.create-outbox-schema
-- Inbound events, each once, with the bytes that were signed.
-- Locks: none on any table of the site. Duration: milliseconds.
create table outbox.inbox_event (
  source            text        not null check (source in ('stripe', 'pms')),
  id                text        not null check (length(id) between 1 and 255),
  type              text        not null,
  -- bytea, not jsonb: jsonb refuses \u0000 and lone surrogates, and a signature can be checked again over the same bytes only
  body              bytea,
  livemode          boolean,
  account           text,
  object_id         text,
  payment_intent_id text,
  outcome           text        not null check (outcome in ('applied', 'no_change', 'ignored', 'foreign', 'waiting', 'mismatch', 'malformed', 'deferred', 'failed')),
  booking_id        uuid,
  detail            text check (length(detail) <= 500),
  received_at       timestamptz not null default now(),
  decided_at        timestamptz not null default now(),
  primary key (source, id)
);
create index inbox_event_booking on outbox.inbox_event (booking_id) where booking_id is not null;
create index inbox_event_payment_intent on outbox.inbox_event (payment_intent_id) where payment_intent_id is not null;
create index inbox_event_received on outbox.inbox_event (received_at);
comment on table  outbox.inbox_event is 'One inbound event from Stripe or a PMS.';
comment on column outbox.inbox_event.id is 'The sender''s id, or sha256:<hex of the body> where a verified body has no usable one.';
comment on column outbox.inbox_event.body is 'The signed bytes; removed after BODY_RETENTION_DAYS.';
comment on column outbox.inbox_event.detail is 'Why this outcome; never guest data.';
