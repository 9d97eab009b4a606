-- Locks: SHARE UPDATE EXCLUSIVE on public.bookings; reads and writes go on. An empty text is no payment intent.
create unique index concurrently idx_bookings_payment_intent_once on public.bookings (stripe_payment_intent_id)
  where stripe_payment_intent_id <> ''
