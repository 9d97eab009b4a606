-- The site's own synchronisation has been at work: every kind of row that a takeover can meet.
-- The reference names the case; ids are not in the order of the cases on purpose.
alter table public.bookings
  add column guestly_reservation_id text, add column guestly_sync_status text default 'pending', add column guestly_sync_error text,
  add column guestly_synced_at timestamptz, add column guestly_sync_attempts integer default 0;

insert into public.bookings (
  booking_reference, status, payment_status, stripe_payment_intent_id,
  guestly_reservation_id, guestly_sync_status, guestly_sync_error, guestly_synced_at, guestly_sync_attempts) values
  ('live',             'confirmed', 'completed', 'pi_1', 'RES-1',               'synced',  null,   '2026-01-02 03:04:05+00', 1),
  ('live-pending',     'confirmed', 'completed', 'pi_2', 'RES-2',               'pending', null,   '2026-01-02 03:04:05+00', 0),
  ('live-failed',      'confirmed', 'completed', 'pi_3', 'RES-3',               'failed',  'boom', '2026-01-02 03:04:05+00', 3),
  ('live-cancelled',   'cancelled', 'refunded',  'pi_4', 'RES-4',               'synced',  null,   '2026-01-02 03:04:05+00', 2),
  ('live-padded',      'confirmed', 'completed', 'pi_5', E' RES-5\t\n',         'synced',  null,   null,                     1),
  ('live-no-status',   'confirmed', 'completed', null,   'RES-6',               null,      null,   'infinity',               null),
  ('live-far-future',  'confirmed', 'completed', '',     'RES-7',               'synced',  null,   '294276-12-31 00:00+00',  1),
  ('live-repeated',    'confirmed', 'completed', '',     'RES-1',               'synced',  null,   '2026-01-02 03:04:05+00', 1),
  ('too-long',         'confirmed', 'completed', null,   repeat('x', 201),      'synced',  null,   '2026-01-02 03:04:05+00', 1),
  ('test',             'confirmed', 'completed', 'pi_6', 'test-reservation-id', 'synced',  null,   '2026-01-02 03:04:05+00', 1),
  ('test-failed',      'confirmed', 'completed', 'pi_7', 'test-reservation-id', 'failed',  'boom', null,                     3),
  ('failed',           'confirmed', 'completed', 'pi_8', null,                  'failed',  'guest@example.com was refused', null, 3),
  ('failed-no-count',  'confirmed', 'completed', 'pi_9', '',                    'failed',  null,   null,                     null),
  ('failed-odd-count', 'completed', 'completed', null,   null,                  'failed',  null,   '-infinity',              -4),
  ('missing',          'confirmed', 'completed', null,   null,                  'pending', null,   null,                     0),
  ('missing-synced',   'confirmed', 'completed', null,   null,                  'synced',  null,   '2026-01-02 03:04:05+00', 1),
  ('missing-blank',    'confirmed', 'completed', null,   E' \n',                null,      null,   null,                     null),
  ('unpaid',           'pending',   'pending',   null,   null,                  'pending', null,   null,                     0),
  (null,               null,        null,        null,   null,                  null,      null,   null,                     null);
