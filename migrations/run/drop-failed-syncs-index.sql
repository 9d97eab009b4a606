drop index concurrently if exists public.idx_bookings_failed_syncs
