-- Incidents. Lock order: the deliveries that are named, then alerts by id, then the alerts' own deliveries.

-- name: alert_lock
-- Locks the alerts with these ids, the open ones of these incidents and the open ones that name these deliveries.
-- Of each incident also the last one resolved: whoever opens it again, and whoever opens a new one, wait for each other.
select a.id, a.resolved_at is null as open
from outbox.alert a
where a.id = any (array(
  select i from unnest(%(ids)s::bigint[]) as i
  union
  select o.id from unnest(%(kinds)s::text[], %(fingerprints)s::text[]) as n (kind, fingerprint)
    join outbox.alert o on o.kind = n.kind and o.fingerprint = n.fingerprint and o.resolved_at is null
  union
  select l.id from unnest(%(kinds)s::text[], %(fingerprints)s::text[]) as n (kind, fingerprint)
    cross join lateral (
      select r.id from outbox.alert r where r.kind = n.kind and r.fingerprint = n.fingerprint and r.resolved_at is not null
      order by r.resolved_at desc limit 1) as l
  union
  select x.alert_id from outbox.alert_delivery x where x.healed_at is null and x.delivery_id = any (%(deliveries)s::bigint[])))
order by a.id
for no key update

-- name: alert_lock_owed_delivery
select d.id
from outbox.delivery d
where d.destination = 'guestly' and d.key = %(key)s and d.delivered < d.requested and d.discarded_at is null
for no key update

-- name: alert_reopen
-- An incident that is back so soon goes on under its alert: with a new one for each relapse, messages would not be spaced.
update outbox.alert a set resolved_at = null
from unnest(%(kinds)s::text[], %(fingerprints)s::text[]) as n (kind, fingerprint)
  cross join lateral (
    select r.id from outbox.alert r where r.kind = n.kind and r.fingerprint = n.fingerprint and r.resolved_at is not null
    order by r.resolved_at desc limit 1) as l
where a.id = l.id and a.kind <> 'test' and a.resolved_at is not null
  and greatest(a.resolved_at, (select max(t.told_at) from outbox.alert_told t where t.alert_id = a.id)) > now() - %(spacing)s::interval
  and not exists (select from outbox.alert o where o.kind = a.kind and o.fingerprint = a.fingerprint and o.resolved_at is null)
returning a.id

-- name: alert_upsert
-- xmax is 0 in a row that this statement inserted and set in one that it updated; a sub-select sees the row before that.
-- Seen last by the clock, behind the lock: after the settle of a message that was made without it.
insert into outbox.alert as a (kind, fingerprint, booking_id, facts, count)
select n.kind, n.fingerprint, n.booking_id, n.facts::jsonb, n.count
from unnest(%(kinds)s::text[], %(fingerprints)s::text[], %(booking_ids)s::uuid[], %(facts)s::text[], %(counts)s::bigint[])
     as n (kind, fingerprint, booking_id, facts, count)
order by n.kind, n.fingerprint
on conflict (kind, fingerprint) where resolved_at is null do update set
  count        = a.count + excluded.count,
  last_seen_at = clock_timestamp(),
  facts        = a.facts || excluded.facts,
  booking_id   = coalesce(a.booking_id, excluded.booking_id)
returning a.id, a.kind, a.fingerprint, a.xmax = 0 as opened, (select o.facts ->> 'change' from outbox.alert o where o.id = a.id) as change_before

-- name: alert_name_deliveries
insert into outbox.alert_delivery (alert_id, delivery_id, failed_at)
select n.alert_id, d.id, coalesce(d.failed_at, now())
from unnest(%(alert_ids)s::bigint[], %(delivery_ids)s::bigint[]) as n (alert_id, delivery_id)
  join outbox.delivery d on d.id = n.delivery_id
order by n.alert_id, d.id
on conflict (delivery_id, alert_id) where healed_at is null do nothing
returning alert_id

-- name: alert_request_channels
-- The sub-select's order is the order of the calls.
-- What is wrong with a channel is told in the others.
select outbox.request(w.channel, w.id::text, 'alert')
from (select a.id, c.channel from outbox.alert a cross join unnest(%(channels)s::text[]) as c (channel)
      where a.id = any (%(ids)s::bigint[]) and not (a.kind = 'channel_failing' and a.fingerprint = c.channel)
      order by a.id, c.channel) as w

-- name: alert_heal_deliveries
update outbox.alert_delivery x set healed_at = now()
where x.healed_at is null and x.delivery_id = any (%(deliveries)s::bigint[]) and x.alert_id = any (%(ids)s::bigint[])
returning x.alert_id

-- name: alert_resolve_healed
-- Why a gate is shut is not over because a person took over the rows that met it: whoever opens the gate asks once more.
update outbox.alert a set resolved_at = now()
where a.id = any (%(ids)s::bigint[]) and a.resolved_at is null
  and not exists (select from outbox.alert_delivery x where x.alert_id = a.id and x.healed_at is null)
  and not (a.kind = any ('{circuit_open,misconfigured}') and exists (
    select from outbox.destination g where g.destination = split_part(a.fingerprint, ':', 1) and g.circuit <> 'closed'))
returning a.id

-- name: alert_close
with healed as (
  update outbox.alert_delivery x set healed_at = now() where x.alert_id = any (%(ids)s::bigint[]) and x.healed_at is null)
update outbox.alert a set resolved_at = now()
where a.id = any (%(ids)s::bigint[]) and a.resolved_at is null
returning a.id

-- name: alert_resolve
update outbox.alert a set resolved_at = now()
where a.kind = %(kind)s and a.fingerprint = %(fingerprint)s and a.resolved_at is null
returning a.id

-- name: alert_is_open
select a.id
from outbox.alert a
where a.kind = %(kind)s::text and a.fingerprint = %(fingerprint)s::text and a.resolved_at is null

-- name: alert_open_of_gate
select a.id
from outbox.alert a
where a.resolved_at is null and a.kind = any ('{circuit_open,misconfigured}')
  and (a.fingerprint = %(destination)s::text or starts_with(a.fingerprint, %(destination)s::text || ':'))
  and a.fingerprint <> %(destination)s::text || ':rate_limited'
order by a.id

-- name: alert_open_about
-- Open alerts of these kinds about these bookings; a price that is not known counts while there is a stay to be paid.
select a.id, a.booking_id
from outbox.alert a
where a.resolved_at is null and a.booking_id = any (%(bookings)s::uuid[]) and a.kind = any (%(kinds)s::text[])
  and not (coalesce(a.facts ->> 'code', '') = 'price_unknown'
    and exists (select from public.bookings b where b.id = a.booking_id and b.status is distinct from 'cancelled'))
order by a.id

-- name: alert_begin_telling
insert into outbox.alert_told (alert_id, channel)
select a.id, %(channel)s::text from outbox.alert a where a.id = any (%(ids)s::bigint[]) order by a.id
on conflict (alert_id, channel) do nothing

-- name: alert_plan_message
-- Chooses which deliveries the channel's next message names. The one before may be out although nobody said so (certain is
-- false): then its choice stands, or the repetition would be another mail under the same Message-ID.
update outbox.alert_told t set
  planned_message = t.messages + 1,
  planned_to      = coalesce((
    select max(c.id) from (
      select y.id from outbox.alert_delivery y where y.alert_id = t.alert_id and y.id > t.told_to order by y.id limit %(page)s) as c), t.told_to)
from unnest(%(ids)s::bigint[], %(certain)s::boolean[]) as n (id, certain)
  join outbox.alert a on a.id = n.id
where t.alert_id = n.id and t.channel = %(channel)s::text and a.resolved_at is null and (n.certain or t.planned_message <= t.messages)

-- name: alert_read
-- A date that Python cannot hold, such as infinity, is shown as missing: it must not keep other alerts from being told.
select a.id, a.kind, a.fingerprint, a.booking_id, a.facts, a.count, coalesce(t.messages, 0) as messages, t.told_at, t.solved_told_at,
       a.first_seen_at, a.last_seen_at, a.resolved_at, now() as now, n.total, n.standing, n.told_standing, n.untold,
       b.id as site_id, b.booking_reference, p.name as property_name, p.slug,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
       case when b.check_out_date between '0001-01-01' and '9999-12-31' then b.check_out_date end as check_out_date,
       b.adults, b.children, b.infants, b.total as price, b.payment_status, b.status as booking_status, r.reservation_id, r.mode
from outbox.alert a
  left join outbox.alert_told t on t.alert_id = a.id and t.channel = %(channel)s::text
  cross join lateral (
    select count(distinct x.delivery_id) as total,
           count(distinct x.delivery_id) filter (where x.healed_at is null) as standing,
           count(distinct x.delivery_id) filter (where x.healed_at is null and x.id <= coalesce(t.told_to, 0)) as told_standing,
           count(distinct x.delivery_id) filter (where x.id > coalesce(t.told_to, 0)) as untold
    from outbox.alert_delivery x where x.alert_id = a.id) as n
  left join public.bookings b on b.id = a.booking_id
  left join public.properties p on p.id = b.property_id
  left join lateral (select h.reservation_id, h.mode from outbox.reservation h where h.booking_id = b.id order by h.updated_at desc limit 1) as r on true
where a.id = any (%(ids)s::bigint[])

-- name: alert_read_named
-- Of an open alert the rows chosen for the channel's next message; of a resolved one those that none has named yet, then the others.
-- Every source of events is named: before Postgres 18 the primary key serves no condition on the id alone.
select a.id as alert_id, x.id as named_id, x.delivery_id, x.failed_at, x.healed_at, x.untold, d.destination, d.key,
       d.requested, d.delivered, d.due_at, d.failed_at as given_up_at, d.discarded_at, d.uncertain_at, d.attempts, d.lease_until,
       d.last_error_code, d.last_error,
       b.id as site_id, b.booking_reference, p.name as property_name, p.slug,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
       case when b.check_out_date between '0001-01-01' and '9999-12-31' then b.check_out_date end as check_out_date,
       b.adults, b.children, b.infants, b.total as price, b.payment_status, b.status as booking_status, r.reservation_id, r.mode
from outbox.alert a
  left join outbox.alert_told t on t.alert_id = a.id and t.channel = %(channel)s::text
  cross join lateral (
    select y.*, y.id > coalesce(t.told_to, 0) as untold from outbox.alert_delivery y
    where y.alert_id = a.id and (a.resolved_at is not null or (y.id > t.told_to and y.id <= t.planned_to))
    order by y.id <= coalesce(t.told_to, 0), y.id
    limit %(page)s) as x
  left join outbox.delivery d on d.id = x.delivery_id
  left join lateral (
    select e.booking_id from outbox.inbox_event e
    where d.destination = 'inbox' and e.source = any ('{stripe,pms}') and e.id = d.key order by e.source desc limit 1) as e on true
  left join public.bookings b on b.id = case
    when d.destination = 'guestly' and d.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then d.key::uuid
    else e.booking_id end
  left join public.properties p on p.id = b.property_id
  left join lateral (select h.reservation_id, h.mode from outbox.reservation h where h.booking_id = b.id order by h.updated_at desc limit 1) as r on true
where a.id = any (%(ids)s::bigint[])
order by a.id, not x.untold, x.id

-- name: alert_mark_told
-- A trial alert has done its work once one channel has taken it. What was named later than the message was read is above told_to.
-- A price that was reported again since it was read is news: what was told counts as told before that.
with trial as (
  update outbox.alert a set resolved_at = now() where a.id = %(id)s and a.kind = 'test' and a.resolved_at is null)
insert into outbox.alert_told as t (alert_id, channel, messages, told_at, solved_told_at, told_to)
select a.id, %(channel)s::text, 1,
       case when a.facts ->> 'code' = 'price_unknown' and a.count > %(count)s::bigint
            then least(now(), a.last_seen_at - interval '1 microsecond') else now() end,
       case when %(solved_told)s::boolean then now() end,
       %(told_to)s::bigint
from outbox.alert a where a.id = %(id)s
on conflict (alert_id, channel) do update set
  messages       = t.messages + 1,
  told_at        = excluded.told_at,
  solved_told_at = excluded.solved_told_at,
  told_to        = greatest(t.told_to, excluded.told_to)
returning exists (select from outbox.alert_delivery x where x.alert_id = t.alert_id and x.id > t.told_to) as unnamed
