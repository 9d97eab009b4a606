-- depends: 0005.create-reservation-and-listing 0009.create-request-functions
-- What the site's own synchronisation has done so far becomes known here, once; after that the guestly_* columns are never read.
-- Locks: none on public.bookings beyond a read. Duration: about a second per 100,000 synced or failed bookings.
--
-- Nothing becomes due: a live reservation is never created again, a failed booking waits for a person, and confirmed bookings
-- without either are listed by `outbox status` and requested by `outbox requeue --missing`.

-- Rows that row level security hides would be created a second time: an error here instead of silence.
set local row_security = off;

with site as materialized (
  select b.id,
         nullif(btrim(b.guestly_reservation_id, E' \t\r\n'), '') as reservation_id,
         coalesce(b.guestly_sync_status = 'failed', false) as failed,
         greatest(coalesce(b.guestly_sync_attempts, 0), 0) as attempts,
         -- infinities and dates that no client can read are odd values, not times
         case when b.guestly_synced_at between '1970-01-01 00:00+00' and now() then b.guestly_synced_at end as synced_at
  from public.bookings b
  where b.guestly_sync_status = 'failed' or btrim(b.guestly_reservation_id, E' \t\r\n') <> ''),
taken as materialized (
  select s.*, coalesce(length(s.reservation_id) > 200, false) as unusable from site s),
reservations as (
  insert into outbox.reservation (booking_id, pms, reservation_id, mode, reservations)
  select t.id, 'guestly', t.reservation_id,
         case when t.reservation_id = 'test-reservation-id' then 'test' else 'live' end,
         case when t.reservation_id = 'test-reservation-id' then 0 else 1 end
  from taken t
  where t.reservation_id is not null and not t.unusable),
deliveries as (
  insert into outbox.delivery (destination, key, requested, delivered, delivered_at, failed_at, attempts, last_error_code, last_error)
  select 'guestly', t.id::text, 1,
         case when t.failed or t.unusable then 0 else 1 end,
         t.synced_at,
         case when t.failed or t.unusable then now() end,
         t.attempts,
         case when t.unusable then 'takeover_reservation_id' when t.failed then 'takeover_failed' end,
         -- the site's own text stays where it is: it may quote the guest
         case when t.unusable then 'The reservation id on the booking cannot be one of the PMS; link the right one.'
              when t.failed then 'Failed before the takeover; see guestly_sync_error of the booking.' end
  from taken t
  order by t.id
  returning id, requested)
insert into outbox.request (delivery_id, version, reason)
select d.id, d.requested, 'takeover' from deliveries d;
