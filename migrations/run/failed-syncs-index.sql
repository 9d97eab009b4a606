-- Locks: SHARE UPDATE EXCLUSIVE on public.bookings; reads and writes go on.
create index concurrently if not exists idx_bookings_failed_syncs on public.bookings (guestly_sync_status, guestly_sync_attempts)
  where guestly_sync_status = 'failed'
