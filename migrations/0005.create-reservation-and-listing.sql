-- depends: 0001.create-outbox-schema
-- What the PMS is known to hold for a booking, and which listing a property is there.
-- Locks: none on any table of the site. Duration: milliseconds.
create table outbox.reservation (
  booking_id     uuid        not null,
  pms            text        not null check (pms in ('guestly', 'guesty')),
  reservation_id text        not null check (length(reservation_id) between 1 and 200),
  mode           text        not null default 'live' check (mode in ('live', 'test')),
  fingerprint    text,
  reservations   integer     not null default 1 check (reservations >= 0),
  updated_at     timestamptz not null default now(),
  primary key (booking_id, pms)
);
create index reservation_id on outbox.reservation (reservation_id);
create index reservation_test on outbox.reservation (pms) where mode = 'test';
comment on table  outbox.reservation is 'What a PMS is known to hold for a booking. Never pruned: a later request would create a second reservation.';
comment on column outbox.reservation.fingerprint is 'Hash of the state last confirmed there; null: unknown.';
comment on column outbox.reservation.reservations is 'How many live reservations this booking has had; part of the idempotency key of the next create.';

create table outbox.listing (
  pms        text        not null check (pms in ('guestly', 'guesty')),
  slug       text        not null check (length(slug) between 1 and 200),
  listing_id text        not null check (length(listing_id) between 1 and 200),
  title      text,
  updated_at timestamptz not null default now(),
  primary key (pms, slug)
);
comment on table outbox.listing is 'Property slug to listing id, per PMS.';
