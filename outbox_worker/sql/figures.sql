-- Figures for `outbox stats`: how bookings reach the PMS.

-- name: figures_owed
-- Of what is owed and not given up, now; from the index on what is due.
select count(*) as pending, min(d.requested_at) as oldest_at, now() as now
from outbox.delivery d
where d.destination = 'guestly' and d.due_at is not null and d.failed_at is null and d.delivered < d.requested

-- name: figures_done
-- Those given up are few and come from their index; those synced are read from the table.
select s.synced, s.attempts, s.tested, f.failed, f.rejected
from (
  select count(*) filter (where t.key is null) as synced, count(t.key) as tested,
         avg(d.attempts) filter (where t.key is null and d.attempts > 0) as attempts
  from outbox.delivery d
  left join (select distinct r.booking_id::text as key from outbox.reservation r where r.mode = 'test') t on t.key = d.key
  where d.destination = 'guestly' and d.delivered = d.requested and d.discarded_at is null
    and (%(since)s::timestamptz is null or d.delivered_at >= %(since)s::timestamptz)) s
cross join (
  select count(*) filter (where d.due_at is not null) as failed, count(*) filter (where d.due_at is null) as rejected
  from outbox.delivery d
  where d.destination = 'guestly' and d.failed_at is not null
    and (%(since)s::timestamptz is null or d.failed_at >= %(since)s::timestamptz)) f

-- name: figures_latency
-- From the payment to the first reservation, of the newest bookings that have one: so many are looked at, in the order of the
-- primary key. A payment begins when its event came in, also where it had to wait for its booking; where the site's own
-- programs asked, at confirmed_at. Where somebody else asked first, as at a takeover, the beginning is unknown.
with newest as materialized (
  select d.id, d.key from outbox.delivery d
  where d.destination = 'guestly' and d.delivered > 0 order by d.id desc limit %(limit)s),
timed as (
  select f.held_at - case r.reason
           when 'stripe' then e.received_at
           when 'database' then case when b.confirmed_at between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then b.confirmed_at end
         end as took
  from newest n
  cross join lateral (select min(a.finished_at) as held_at from outbox.attempt a where a.delivery_id = n.id and a.outcome = 'held') f
  left join lateral (select q.reason, q.reference from outbox.request q where q.delivery_id = n.id order by q.id limit 1) r on true
  left join outbox.inbox_event e on r.reason = 'stripe' and e.source = 'stripe' and e.id = r.reference
  left join public.bookings b on r.reason = 'database' and b.id = case
    when n.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then n.key::uuid end
  where f.held_at is not null and (%(since)s::timestamptz is null or f.held_at >= %(since)s::timestamptz))
select count(*) as reservations, count(t.took) as measured,
       make_interval(secs => percentile_cont(0.5) within group (order by extract(epoch from t.took)::float8)) as p50,
       make_interval(secs => percentile_cont(0.95) within group (order by extract(epoch from t.took)::float8)) as p95
from (select case when x.took >= interval '0' then x.took end as took from timed x) t

-- name: figures_failures
-- Calls that did not succeed, and how many bookings they were about.
select coalesce(a.error_code, a.outcome) as code, count(*) as attempts, count(distinct a.delivery_id) as bookings
from outbox.attempt a join outbox.delivery d on d.id = a.delivery_id and d.destination = 'guestly'
where a.outcome = any ('{failed,ambiguous,rejected,rate_limited,misconfigured,lost}')
  and (%(since)s::timestamptz is null or a.finished_at >= %(since)s::timestamptz)
group by 1
order by 2 desc, 1
