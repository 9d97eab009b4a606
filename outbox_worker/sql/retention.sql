-- What is finished is removed when it is old, in small batches that wait for nobody. Nothing that is owed, parked or in doubt
-- goes, and outbox.reservation never: a later request would create a second reservation.
-- Old is what ended before the cut-off: what ended at it, to the microsecond, stays. A delivery takes all its attempts and
-- requests with it, the youngest ones, too: nothing would ever find them again.
-- Locking looks at each row again as it is once it is locked: one that was asked for meanwhile stays.

-- name: prune_before
select now() - %(bodies)s::interval as bodies, now() - %(history)s::interval as history

-- name: prune_count
select
  (select count(*) from outbox.inbox_event e
   where e.received_at < %(bodies)s and e.body is not null
     and not exists (select from outbox.delivery d where d.destination = 'inbox' and d.key = e.id and d.delivered < d.requested)) as bodies,
  (select count(*) from outbox.alert a
   where a.resolved_at < %(history)s
     and not exists (select from outbox.delivery d where d.destination in ('email', 'chat') and d.key = a.id::text and d.delivered < d.requested)) as alerts,
  (select count(*) from outbox.delivery d
   where d.delivered = d.requested and d.due_at is null and d.failed_at is null and d.discarded_at is null and d.owner is null
     and d.uncertain_at is null and greatest(d.requested_at, d.delivered_at) < %(history)s
     and not exists (select from outbox.alert_delivery x where x.delivery_id = d.id and x.healed_at is null)) as deliveries,
  (select count(*) from outbox.attempt t join outbox.delivery d on d.id = t.delivery_id
   where d.delivered = d.requested and d.due_at is null and d.failed_at is null and d.discarded_at is null and d.owner is null
     and d.uncertain_at is null
     and (t.finished_at < %(history)s
          or greatest(d.requested_at, d.delivered_at) < %(history)s
             and not exists (select from outbox.alert_delivery x where x.delivery_id = d.id and x.healed_at is null))) as attempts,
  (select count(*) from outbox.operator_action o
   where o.at < %(history)s
     and not exists (select from outbox.delivery d where d.id = any (o.deliveries) and d.delivered < d.requested)) as actions,
  (select count(*) from outbox.worker w where coalesce(w.stopped_at, w.seen_at) < %(history)s) as workers,
  -- the application's own role is not given this: what operators did is its auditors' to remove
  has_table_privilege('outbox.operator_action', 'delete') as may_remove_actions

-- name: prune_bodies
-- Along the index on received_at; the place of the page's end is where the next one begins.
with page as materialized (
  select e.source, e.id, e.received_at from outbox.inbox_event e
  where e.received_at >= %(at)s and e.received_at < %(before)s and (e.received_at, e.source, e.id) > (%(at)s, %(source)s, %(id)s)
  order by e.received_at, e.source, e.id limit %(limit)s),
old as materialized (
  select e.source, e.id from outbox.inbox_event e
  where (e.source, e.id) in (select p.source, p.id from page p) and e.body is not null
    -- a body that is still to be applied, or that a person may yet have applied
    and not exists (select from outbox.delivery d where d.destination = 'inbox' and d.key = e.id and d.delivered < d.requested)
  order by e.source, e.id for no key update skip locked),
u as (
  update outbox.inbox_event e set body = null from old o where e.source = o.source and e.id = o.id returning e.id)
select p.received_at as at, p.source, p.id, (select count(*) from u) as removed
from page p order by p.received_at desc, p.source desc, p.id desc limit 1

-- name: prune_alerts
with page as materialized (
  select a.id from outbox.alert a where a.id > %(after)s order by a.id limit %(limit)s),
old as materialized (
  select a.id from outbox.alert a
  where a.id = any (array(select p.id from page p)) and a.resolved_at < %(before)s
    -- whoever is still to be told
    and not exists (select from outbox.delivery d where d.destination in ('email', 'chat') and d.key = a.id::text and d.delivered < d.requested)
  order by a.id for no key update skip locked),
x as (
  delete from outbox.alert_delivery x where x.alert_id = any (array(select o.id from old o))),
a as (
  delete from outbox.alert a where a.id = any (array(select o.id from old o)) returning a.id)
select (select max(p.id) from page p) as after, (select count(*) from a) as removed

-- name: prune_deliveries
-- Walks the primary key: no index on a date is kept for this. Old history of rows that go on being asked for goes, too.
with page as materialized (
  select d.id from outbox.delivery d where d.id > %(after)s order by d.id limit %(limit)s),
idle as materialized (
  select d.id, greatest(d.requested_at, d.delivered_at) < %(before)s
               and not exists (select from outbox.alert_delivery x where x.delivery_id = d.id and x.healed_at is null) as old
  from outbox.delivery d
  where d.id = any (array(select p.id from page p)) and d.delivered = d.requested and d.due_at is null and d.failed_at is null
    and d.discarded_at is null and d.owner is null and d.uncertain_at is null
    -- of the others not even a lock is taken
    and (greatest(d.requested_at, d.delivered_at) < %(before)s
         or exists (select from outbox.attempt t where t.delivery_id = d.id and t.finished_at < %(before)s)
         or exists (select from outbox.request r where r.delivery_id = d.id and r.requested_at < %(before)s))
  order by d.id for no key update skip locked),
t as (
  delete from outbox.attempt t
  where t.delivery_id = any (array(select i.id from idle i))
    and (t.finished_at < %(before)s or t.delivery_id = any (array(select i.id from idle i where i.old)))
  returning 1),
r as (
  delete from outbox.request r
  where r.delivery_id = any (array(select i.id from idle i))
    and (r.requested_at < %(before)s or r.delivery_id = any (array(select i.id from idle i where i.old)))),
d as (
  delete from outbox.delivery d where d.id = any (array(select i.id from idle i where i.old)) returning d.id)
select (select max(p.id) from page p) as after, (select count(*) from d) as removed, (select count(*) from t) as attempts

-- name: prune_actions
with page as materialized (
  select o.id from outbox.operator_action o where o.id > %(after)s order by o.id limit %(limit)s),
gone as (
  delete from outbox.operator_action o
  where o.id = any (array(select p.id from page p)) and o.at < %(before)s
    -- why something was set aside, for as long as it is
    and not exists (select from outbox.delivery d where d.id = any (o.deliveries) and d.delivered < d.requested)
  returning o.id)
select (select max(p.id) from page p) as after, (select count(*) from gone) as removed

-- name: prune_workers
with old as materialized (
  select w.id from outbox.worker w where coalesce(w.stopped_at, w.seen_at) < %(before)s for no key update skip locked)
delete from outbox.worker w where w.id = any (array(select o.id from old o)) returning w.id
