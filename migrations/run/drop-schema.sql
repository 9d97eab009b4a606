-- RESTRICT on purpose: what somebody else put into the schema is not ours to drop.
-- Locks: ACCESS EXCLUSIVE on public.bookings for milliseconds.
drop index if exists public.idx_bookings_payment_intent_once;
drop table if exists outbox._yoyo_log, outbox._yoyo_migration, outbox._yoyo_version, outbox.yoyo_lock;
drop schema outbox
