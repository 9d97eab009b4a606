-- What a person decides about one row: not owed, this reservation, what the PMS was seen to hold.
-- Each leaves a row alone that a worker holds: it may be creating the reservation. The lease of a worker that was lost is
-- closed as a claim would close it; it may have sent until its lease ended.

-- name: discard
-- Only rows that are still as they were shown.
with i as (
  select * from unnest(%(ids)s::bigint[], %(requested)s::bigint[], %(delivered)s::bigint[], %(failed_at)s::timestamptz[])
    as i (id, requested, delivered, failed_at)),
c as materialized (
  select d.id, d.owner, d.fence, d.round, d.attempts, d.claimed_at, d.lease_until
  from outbox.delivery d join i on i.id = d.id
  where d.id = any (%(ids)s::bigint[]) and (d.owner is null or d.lease_until <= now())
    and d.delivered < d.requested and d.discarded_at is null
    and d.requested = i.requested and d.delivered = i.delivered and d.failed_at is not distinct from i.failed_at
  order by d.id for no key update of d),
lost as (
  insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at, finished_at, outcome, error_code)
  select id, fence, round, attempts, owner, claimed_at, lease_until, 'lost', 'worker_lost' from c where owner is not null)
update outbox.delivery d set
  discarded_at = now(), due_at = null, failed_at = null,
  uncertain_at = case when d.owner is null then d.uncertain_at else greatest(d.uncertain_at, d.lease_until) end,
  owner = null, fence = 0, lease_until = null
where d.id = any (array(select id from c))
returning d.id, d.uncertain_at is not null as uncertain

-- name: lock_reservation_id
-- Two persons who link the same reservation to two bookings: the second one waits, and then sees what the first has done.
select pg_advisory_xact_lock(hashtextextended('outbox.reservation:' || %(pms)s::text || ':' || %(reservation_id)s::text, 0))

-- name: reservation_of_another
-- Another booking that is on record as this reservation's, or whose reference it bears.
select o.booking_id, b.booking_reference
from (
  select r.booking_id from outbox.reservation r
  where r.reservation_id = %(reservation_id)s and r.pms = %(pms)s and r.mode = 'live'
  union all
  select x.id from public.bookings x where x.booking_reference = %(reference)s::text) o
left join public.bookings b on b.id = o.booking_id
where o.booking_id <> %(booking_id)s::uuid
limit 1

-- name: link
-- An unknown write may still land in the PMS: then the doubt stays until the quiet period is over and the state is written.
with c as materialized (
  select d.id, d.owner, d.fence, d.round, d.attempts, d.claimed_at, d.lease_until
  from outbox.delivery d
  where d.id = %(id)s and (d.owner is null or d.lease_until <= now())
  for no key update),
lost as (
  insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at, finished_at, outcome, error_code)
  select id, fence, round, attempts, owner, claimed_at, lease_until, 'lost', 'worker_lost' from c where owner is not null),
u as (
  update outbox.delivery d set
    requested = d.requested + 1, requested_at = now(), due_at = now(), failed_at = null, discarded_at = null,
    attempts = 0, round = d.round + 1,
    uncertain_at = (select x.at from (select case when d.owner is null then d.uncertain_at else greatest(d.uncertain_at, d.lease_until) end as at) x
                    where x.at + %(quiet)s::interval > now()),
    owner = null, fence = 0, lease_until = null
  where d.id = any (array(select id from c))
  returning d.id, d.requested, d.uncertain_at),
r as (
  insert into outbox.request (delivery_id, version, reason, reference)
  select u.id, u.requested, 'operator', %(actor)s::text from u)
select u.requested as version, u.uncertain_at is not null as uncertain from u

-- name: doubtful_delivery
-- What is not known of a row, and until when a write may have been under way.
select d.id, d.requested, d.delivered, d.due_at, d.failed_at, d.discarded_at, d.uncertain_at, d.attempts, d.lease_until, d.last_error_code,
       case when d.owner is null then d.uncertain_at else greatest(d.uncertain_at, d.lease_until) end as doubt_until, now() as now
from outbox.delivery d where d.destination = 'guestly' and d.key = %(booking_id)s::uuid::text

-- name: end_doubt
-- Only if nobody has worked on the row since it was read: the PMS was asked in between.
with c as materialized (
  select d.id, d.owner, d.fence, d.round, d.attempts, d.claimed_at, d.lease_until
  from outbox.delivery d
  where d.id = %(id)s and (d.owner is null or d.lease_until <= now())
    and d.delivered = %(delivered)s and d.delivered < d.requested
    and case when d.owner is null then d.uncertain_at else greatest(d.uncertain_at, d.lease_until) end = %(doubt_until)s
  for no key update),
lost as (
  insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at, finished_at, outcome, error_code)
  select id, fence, round, attempts, owner, claimed_at, lease_until, 'lost', 'worker_lost' from c where owner is not null)
update outbox.delivery d set
  uncertain_at = null, due_at = case when d.discarded_at is null then now() end,
  owner = null, fence = 0, lease_until = null
where d.id = any (array(select id from c))
returning d.id

-- name: attempts_since
select a.fence, a.round, a.number, a.outcome, a.error_code, a.error, a.http_status, a.worker, a.finished_at - a.started_at as took
from outbox.attempt a
where a.delivery_id = %(id)s::bigint and a.fence > %(after)s
order by a.fence
