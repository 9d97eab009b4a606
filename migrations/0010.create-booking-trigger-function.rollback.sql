drop trigger if exists outbox_booking_changed on public.bookings;
drop function outbox.booking_changed();
