-- Counting for `outbox status`: what is owed or parked comes from the partial indexes of outbox.delivery,
-- however many finished rows there are; what is finished is counted up to a limit.

-- name: live_workers
select w.id, w.host, w.pid, w.version, w.pms, w.sync_enabled, w.test_mode, w.listening, w.in_flight, w.started_at,
       greatest(now() - w.seen_at, interval '0') as seen_ago
from outbox.worker w
where w.stopped_at is null and w.seen_at > now() - %(alive)s::interval
order by w.started_at, w.id

-- name: count_owed
-- The words are those of outbox.delivery.State, in the order in which state_of decides.
select o.destination, o.state, count(*) as n, min(o.requested_at) as oldest_requested, min(o.due_at) as first_due, max(o.error_code) as error_code,
       now() as now
from (
  select d.destination, d.requested_at, d.due_at, d.last_error_code as error_code,
         case when d.lease_until > now()              then 'sending'
              when d.failed_at is not null            then 'failed'
              when d.delivered = d.requested          then 'synced'
              when d.destination = any (%(closed)s::text[]) then 'held'
              when d.uncertain_at is not null         then 'checking'
              when d.attempts > 0                     then 'retrying'
              else                                         'waiting' end as state
  from outbox.delivery d where d.due_at is not null
  union all
  select d.destination, d.requested_at, d.due_at, d.last_error_code, 'rejected'
  from outbox.delivery d where d.failed_at is not null and d.due_at is null
  union all
  select d.destination, d.requested_at, d.due_at, d.last_error_code, 'discarded'
  from outbox.delivery d where d.discarded_at is not null) o
group by o.destination, o.state

-- name: count_synced
-- Of each destination so many rows are looked at, in the order of the unique index, which keeps the planner from reading the table.
select g.destination, x.synced, x.seen = %(limit)s as at_least
from outbox.destination g
cross join lateral (
  select count(*) as seen, 
         count(*) filter (where d.delivered = d.requested and d.due_at is null and d.discarded_at is null) as synced
  from (select y.delivered, y.requested, y.due_at, y.discarded_at from outbox.delivery y
        where y.destination = g.destination order by y.key limit %(limit)s) d) x

-- name: count_tested
select count(*) as n from (select from outbox.reservation r where r.mode = 'test' limit %(limit)s) x

-- name: count_live_tested
-- Paid with real money, and in the PMS by test mode's word alone.
select count(*) as n from (
  select from outbox.reservation r
  join public.bookings b on b.id = r.booking_id and b.status <> 'cancelled' and b.payment_status = 'completed'
  where r.mode = 'test'
    and not exists (select from outbox.reservation l where l.booking_id = r.booking_id and l.mode = 'live')
    and exists (select from outbox.inbox_event e where e.booking_id = r.booking_id and e.livemode and e.outcome in ('applied', 'no_change'))
  limit %(limit)s) x

-- name: oldest_owed
-- Neither given up nor held back by a person; of an alert's channels as much longer as two messages have to be apart.
select d.id, d.destination, d.key, b.booking_reference, now() - d.requested_at as waited
from outbox.delivery d
left join public.bookings b on b.id = case
  when d.destination = 'guestly' and d.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then d.key::uuid end
where d.due_at is not null and d.failed_at is null and d.delivered < d.requested and d.destination <> all (%(held)s::text[])
  and d.requested_at < now() - %(patience)s::interval
                     - case when d.destination = any (%(channels)s::text[]) then %(spacing)s::interval else interval '0' end
order by d.requested_at, d.id
limit 1

-- name: failing_channels
-- A row that only waits for its turn is not failing.
select d.destination, count(*) as waiting, min(d.requested_at) as since,
       (array_agg(d.last_error_code order by d.attempts desc, d.id))[1] as error_code,
       (array_agg(d.last_error order by d.attempts desc, d.id))[1] as error
from outbox.delivery d
where d.destination = any (%(channels)s::text[]) and d.due_at is not null and d.delivered < d.requested
  and (d.attempts >= %(attempts)s
       or (d.requested_at < now() - %(lasting)s::interval and d.last_error_code is not null and d.last_error_code <> 'spacing'))
group by d.destination
order by d.destination

-- name: unconfigured_channels
-- What the newest alert came to.
select c.channel
from unnest(%(channels)s::text[]) with ordinality as c (channel, place)
join outbox.delivery d on d.destination = c.channel and d.key = (select max(a.id)::text from outbox.alert a)
cross join lateral (select p.outcome from outbox.attempt p where p.delivery_id = d.id order by p.fence desc limit 1) t
where t.outcome = 'not_configured'
order by c.place

-- name: list_parked
-- Soonest check-in first: what is most urgent.
-- A check-in date that Python cannot hold is read as missing, as in bookings.sql.
select d.id, d.destination, d.key, d.requested, d.delivered, d.due_at, d.failed_at, d.discarded_at, d.uncertain_at, d.attempts, d.lease_until,
       d.last_error_code, b.booking_reference, now() as now,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date
from outbox.delivery d
left join public.bookings b on b.id = case
  when d.destination = 'guestly' and d.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then d.key::uuid end
where d.failed_at is not null
order by check_in_date nulls last, d.failed_at, d.id
limit %(limit)s

-- name: list_missing
-- Paid and confirmed, and neither requested nor held anywhere.
select b.id, b.booking_reference, count(*) over () as total,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date
from public.bookings b
where b.status = 'confirmed' and b.payment_status = 'completed'
  and not exists (select from outbox.reservation r where r.booking_id = b.id)
  and not exists (select from outbox.delivery d where d.destination = 'guestly' and d.key = b.id::text)
order by check_in_date, b.id
limit %(limit)s

-- name: list_waiting_events
-- Event by event, or the planner reads all events that were ever applied.
-- Every source is named: before Postgres 18 the primary key serves no condition on the id alone.
select e.source, e.id, e.type, e.outcome, e.payment_intent_id, e.received_at, d.attempts, d.last_error_code,
       count(*) over () as total, now() - e.received_at as waited
from outbox.delivery d
cross join lateral (
  select x.source, x.id, x.type, x.outcome, x.payment_intent_id, x.received_at from outbox.inbox_event x
  where x.source = any ('{stripe,pms}') and x.id = d.key order by x.source desc limit 1) e
where d.destination = 'inbox' and d.due_at is not null
order by e.received_at, e.id
limit %(limit)s

-- name: list_open_alerts
-- Those that no state of a delivery shows: an incident that names one is counted there.
select a.id, a.kind, a.first_seen_at, a.last_seen_at, a.booking_id, a.facts ->> 'code' as code, b.booking_reference, count(*) over () as total,
       (select coalesce(sum(t.messages), 0)::int from outbox.alert_told t where t.alert_id = a.id) as messages
from outbox.alert a
left join public.bookings b on b.id = a.booking_id
where a.resolved_at is null and a.kind <> all (%(shown)s::text[]) and a.last_seen_at > now() - %(recent)s::interval
order by a.first_seen_at, a.id
limit %(limit)s

-- name: count_bookings
-- Over all bookings, from the index on the status alone; null counts as pending.
select coalesce(b.guestly_sync_status, 'pending') as status, count(*) as n from public.bookings b group by b.guestly_sync_status
