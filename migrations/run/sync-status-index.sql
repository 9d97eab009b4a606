-- Locks: SHARE UPDATE EXCLUSIVE on public.bookings; reads and writes go on.
create index concurrently if not exists idx_bookings_guestly_sync_status on public.bookings (guestly_sync_status)
