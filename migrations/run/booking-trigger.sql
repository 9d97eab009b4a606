-- Locks: SHARE ROW EXCLUSIVE on public.bookings for milliseconds.
-- AFTER sees what BEFORE triggers made of the row. WHEN compares values: UPDATE OF would fire on unchanged columns, miss changes
-- made by triggers and echo the worker's own columns for ever. Never on INSERT: on the site anybody may insert a booking.
-- Compared is what a reservation is made of; last, a booking that became paid after it was confirmed.
create or replace trigger outbox_booking_changed
  after update on public.bookings for each row
  when (
    (old.booking_reference, old.property_id, old.status,
     old.guest_first_name, old.guest_last_name, old.guest_email, old.guest_phone, old.guest_country, old.guest_company,
     old.check_in_date, old.check_out_date, old.adults, old.children, old.infants, old.total,
     old.special_requests, old.purpose_of_stay, old.has_pet, old.early_checkin, old.late_checkout)
    is distinct from
    (new.booking_reference, new.property_id, new.status,
     new.guest_first_name, new.guest_last_name, new.guest_email, new.guest_phone, new.guest_country, new.guest_company,
     new.check_in_date, new.check_out_date, new.adults, new.children, new.infants, new.total,
     new.special_requests, new.purpose_of_stay, new.has_pet, new.early_checkin, new.late_checkout)
    or (new.status <> 'pending'
        and (old.payment_status in ('completed', 'refunded')) is distinct from (new.payment_status in ('completed', 'refunded')))
  )
  execute function outbox.booking_changed()
