-- The site's bookings: what we read, lock and mirror. The site's own columns are changed by payments alone.
-- A date or moment that Python cannot hold, such as infinity, is read as missing: it must not keep other bookings from
-- being read. Moments leave a day on both sides, since they are read in the time zone of the session.

-- name: read_bookings
select b.id, b.booking_reference, b.status, b.payment_status, b.property_id, p.slug, p.name as property_name,
       b.guest_first_name, b.guest_last_name, b.guest_email, b.guest_phone, b.guest_country, b.guest_company,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
       case when b.check_out_date between '0001-01-01' and '9999-12-31' then b.check_out_date end as check_out_date,
       b.adults, b.children, b.infants, b.total, b.special_requests, b.purpose_of_stay,
       b.has_pet, b.early_checkin, b.late_checkout, b.stripe_payment_intent_id, b.stripe_charge_id,
       case when b.confirmed_at between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then b.confirmed_at end as confirmed_at,
       case when b.cancelled_at between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then b.cancelled_at end as cancelled_at
from public.bookings b left join public.properties p on p.id = b.property_id
where b.id = any (%(ids)s::uuid[])

-- name: read_bookings_for_sync
-- Booking, listing and reservation in one statement, so that they are of one snapshot. Texts and the price are cast:
-- the site may change their types at any time, and a prepared statement could not answer with others.
select b.id, b.booking_reference::text, b.status::text, b.payment_status::text, b.property_id, p.slug::text, p.name::text as property_name,
       b.guest_first_name::text, b.guest_last_name::text, b.guest_email::text, b.guest_phone::text, b.guest_country::text, b.guest_company::text,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
       case when b.check_out_date between '0001-01-01' and '9999-12-31' then b.check_out_date end as check_out_date,
       b.adults, b.children, b.infants, b.total::numeric, b.special_requests::text, b.purpose_of_stay::text,
       b.has_pet, b.early_checkin, b.late_checkout, b.stripe_payment_intent_id::text, b.stripe_charge_id::text,
       case when b.confirmed_at between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then b.confirmed_at end as confirmed_at,
       case when b.cancelled_at between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then b.cancelled_at end as cancelled_at,
       k.id as key_id, b.id is not null as present, l.listing_id,
       r.reservation_id, r.mode, r.fingerprint, r.parts, coalesce(r.reservations, 0) as reservations,
       o.pms as other_pms, o.reservation_id as other_reservation_id
from unnest(%(ids)s::uuid[]) as k (id)
left join public.bookings b on b.id = k.id
left join public.properties p on p.id = b.property_id
left join outbox.listing l on l.pms = %(pms)s and l.slug = p.slug
left join outbox.reservation r on r.booking_id = k.id and r.pms = %(pms)s
-- lateral, so that the planner goes by the key, too, while it has never seen the table and takes it for small
left join lateral (
  select x.pms, x.reservation_id from outbox.reservation x
  where x.booking_id = k.id and x.pms <> %(pms)s and x.mode = 'live' and r.mode is distinct from 'live'
  order by x.pms limit 1) o on true

-- name: read_cleaning_fees
select f.booking_id, f.fee from outbox.cleaning_fees(%(ids)s::uuid[]) f

-- name: read_guest
select b.booking_reference, b.guest_first_name, b.guest_last_name, b.guest_email, b.guest_phone,
       b.guest_country, b.guest_company, b.special_requests, b.purpose_of_stay
from public.bookings b
where b.id = %(id)s::uuid

-- name: lock_bookings
select b.id, true as locked from public.bookings b where b.id = any (%(ids)s::uuid[]) order by b.id for no key update

-- name: lock_bookings_skip
with locked as materialized (
  select b.id from public.bookings b where b.id = any (%(ids)s::uuid[]) order by b.id for no key update skip locked)
select b.id, exists (select from locked l where l.id = b.id) as locked
from public.bookings b where b.id = any (%(ids)s::uuid[])

-- name: mirror_bookings
-- The site's view of the truth in outbox.delivery, never read back; the bookings are locked by the caller.
update public.bookings b set
  guestly_sync_status = v.status, guestly_sync_error = v.error, guestly_synced_at = v.synced_at,
  guestly_sync_attempts = v.attempts, guestly_reservation_id = v.reservation_id
from (
  select x.id,
         case when d.failed_at is not null or d.discarded_at is not null then 'failed'
              when d.delivered = d.requested then 'synced' else 'pending' end as status,
         case when d.discarded_at is not null then coalesce(d.last_error, 'discarded by an operator') else d.last_error end as error,
         coalesce(d.delivered_at, x.guestly_synced_at) as synced_at, d.attempts, r.reservation_id
  from public.bookings x
  join outbox.delivery d on d.destination = 'guestly' and d.key = x.id::text
  left join lateral (
    select o.reservation_id from outbox.reservation o where o.booking_id = x.id order by o.mode, o.updated_at desc limit 1) r on true
  where x.id = any (%(ids)s::uuid[])) v
where b.id = v.id
  and (b.guestly_sync_status, b.guestly_sync_error, b.guestly_synced_at, b.guestly_sync_attempts, b.guestly_reservation_id)
      is distinct from (v.status, v.error, v.synced_at, v.attempts, v.reservation_id)

-- name: begin_ours
-- For the rest of this transaction: the optional trigger on bookings is silent, and nobody waits for long.
select set_config('outbox.origin', %(origin)s::text, true), set_config('lock_timeout', '2s', true),
       -- a worker that is frozen, or a host that is lost, lets go of the bookings
       set_config('idle_in_transaction_session_timeout', '5s', true)
