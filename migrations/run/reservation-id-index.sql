-- Locks: SHARE UPDATE EXCLUSIVE on public.bookings; reads and writes go on.
-- Not unique: a guest may write anything here, and the truth is in outbox.reservation.
create index concurrently if not exists idx_bookings_guestly_reservation_id on public.bookings (guestly_reservation_id)
