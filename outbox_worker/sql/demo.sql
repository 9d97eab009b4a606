-- What the demo does in place of the site, and what it counts at the end.

-- name: demo_insert_property
insert into public.properties (id, slug, name)
values (%(id)s::uuid, %(slug)s::text, %(name)s::text);

-- name: demo_insert_booking
insert into public.bookings (
  id, booking_reference, property_id, guest_first_name, guest_last_name, guest_email, guest_phone, guest_country,
  check_in_date, check_out_date, nights, adults, children, infants, base_price, cleaning_fee, subtotal, total,
  special_requests, payment_status, payment_method, stripe_payment_intent_id, status
) values (
  %(id)s::uuid, %(reference)s::text, %(property_id)s::uuid, %(first_name)s::text, %(last_name)s::text,
  %(email)s::text, %(phone)s::text, %(country)s::text, %(check_in)s::date, %(check_out)s::date, %(nights)s::integer,
  %(adults)s::integer, %(children)s::integer, 0, %(base_price)s::numeric, %(cleaning_fee)s::numeric,
  %(total)s::numeric, %(total)s::numeric, %(special_requests)s::text, 'pending', 'card', %(intent_id)s::text, 'pending'
);

-- name: demo_bookings
select b.booking_reference as reference,
       b.status,
       b.payment_status,
       b.total,
       b.guestly_sync_status as sync_status,
       b.guestly_reservation_id as reservation_id,
       d.id is not null and d.delivered = d.requested as delivered,
       d.failed_at is not null as failed,
       (select count(*) from outbox.attempt a
         where a.delivery_id = d.id and a.outcome in ('failed', 'ambiguous')) as stumbles
  from public.bookings b
  left join outbox.delivery d on d.destination = 'guestly' and d.key = b.id::text
 order by b.booking_reference;

-- name: demo_events
select count(*) as rows from outbox.inbox_event where source = 'stripe';
