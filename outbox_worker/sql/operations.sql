-- What operators ask and do: references, the timeline of one subject, asking again.
-- A key of destination guestly is a booking id; the CASE keeps one that is not from failing the statement.
-- A date or moment of a booking that Python cannot hold is read as missing, as in bookings.sql.

-- name: ref_exact
-- One row per way in which a reference can be meant; the same subject may come up several times. An event that is
-- settled stands for its booking.
select 'booking' as subject, b.id::text as key, null::bigint as delivery_id, b.booking_reference as name
from public.bookings b
where b.booking_reference = any (%(words)s::text[]) or b.id = %(uuid)s::uuid or b.stripe_payment_intent_id = %(ref)s and b.stripe_payment_intent_id <> ''
union all
(select 'booking', r.booking_id::text, null, b.booking_reference
 from outbox.reservation r left join public.bookings b on b.id = r.booking_id
 where r.reservation_id = %(ref)s or r.booking_id = %(uuid)s::uuid
 limit %(limit)s)
union all
select case d.destination when 'guestly' then 'booking' when 'inbox' then 'event' else 'alert' end, d.key, d.id, b.booking_reference
from outbox.delivery d
left join public.bookings b on b.id = case
  when d.destination = 'guestly' and d.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then d.key::uuid end
where d.id = %(number)s::bigint or (d.destination = 'guestly' and d.key = %(uuid)s::uuid::text)
union all
select case when s.settled then 'booking' else 'event' end, case when s.settled then e.booking_id::text else e.id end, null,
       case when s.settled then b.booking_reference else e.id end
from outbox.inbox_event e
left join public.bookings b on b.id = e.booking_id
cross join lateral (
  select e.booking_id is not null and not exists (
    select from outbox.delivery d where d.destination = 'inbox' and d.key = e.id and d.delivered < d.requested) as settled) s
where (e.source in ('stripe', 'pms') and e.id = %(ref)s) or (e.payment_intent_id = %(ref)s and e.booking_id is null)

-- name: ref_prefix
-- No index serves all of these; asked only when nothing matches exactly.
(select 'booking' as subject, b.id::text as key, null::bigint as delivery_id, b.booking_reference as name from public.bookings b
 where lower(b.booking_reference) like %(pattern)s or b.id between %(low)s::uuid and %(high)s::uuid
 order by b.booking_reference limit %(limit)s)
union all
(select 'booking', b.id::text, null, b.booking_reference from public.bookings b
 where %(payment)s and lower(b.stripe_payment_intent_id) like %(pattern)s order by 4 limit %(limit)s)
union all
(select 'booking', r.booking_id::text, null, b.booking_reference
 from outbox.reservation r left join public.bookings b on b.id = r.booking_id
 where lower(r.reservation_id) like %(pattern)s order by 4 limit %(limit)s)
union all
(select 'event', e.id, null, e.id from outbox.inbox_event e
 where lower(e.id) like %(pattern)s order by 4 limit %(limit)s)

-- name: subject_booking
-- Nothing about the guest.
select b.id, b.booking_reference, b.status, b.payment_status, b.total, b.adults, b.children, b.infants,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
       case when b.check_out_date between '0001-01-01' and '9999-12-31' then b.check_out_date end as check_out_date,
       case when b.created_at between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then b.created_at end as created_at,
       case when b.confirmed_at between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then b.confirmed_at end as confirmed_at,
       case when b.cancelled_at between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then b.cancelled_at end as cancelled_at,
       b.stripe_payment_intent_id, p.slug, p.name as property_name
from public.bookings b left join public.properties p on p.id = b.property_id
where b.id = %(booking_id)s::uuid

-- name: subject_reservations
-- A person's word alone stands for one whose last link did not ask the PMS, until a call to it has succeeded. Then its state is
-- known, also when that call is no longer in the history and the link still is; after a call that wrote a part of it, not yet.
select r.pms, r.reservation_id, r.mode, r.fingerprint is not null as state_known, r.updated_at,
       r.mode = 'live' and r.fingerprint is null and coalesce(l.unverified, false)
       and not exists (select from outbox.attempt t where t.delivery_id = %(id)s::bigint and t.outcome = 'held' and t.started_at >= l.at) as unverified
from outbox.reservation r
left join lateral (
  select o.at, o.action = 'link unverified' as unverified from outbox.operator_action o
  where o.deliveries @> array[%(id)s::bigint]
    and (o.action in ('link', 'link unverified') and right(rtrim(o.target, ''''), length(r.reservation_id)) = r.reservation_id
         or o.action = 'check' and o.reason = 'the PMS holds ' || r.reservation_id)
  order by o.id desc limit 1) l on true
where r.booking_id = %(booking_id)s::uuid order by r.mode, r.updated_at desc

-- name: subject_delivery
select d.id, d.destination, d.key, d.requested, d.delivered, d.due_at, d.failed_at, d.discarded_at, d.uncertain_at, d.attempts, d.round,
       d.owner, d.claimed_at, d.lease_until, d.last_error_code, d.last_error, d.requested_at, d.delivered_at, now() as now
from outbox.delivery d
where (d.destination = %(destination)s and d.key = %(key)s) or d.id = %(id)s::bigint

-- name: timeline_events
select e.source, e.id, e.type, e.outcome, e.detail, e.received_at, e.decided_at
from outbox.inbox_event e
where e.booking_id = %(booking_id)s::uuid or e.payment_intent_id = %(payment_intent_id)s::text
   or (e.source = any ('{stripe,pms}') and e.id = %(event_id)s::text)
order by e.received_at, e.id

-- name: timeline_requests
select r.version, r.reason, r.reference, r.requested_at from outbox.request r where r.delivery_id = %(id)s order by r.id

-- name: timeline_attempts
select a.round, a.number, a.version, a.worker, a.started_at, a.finished_at, a.outcome, a.error_code, a.error, a.http_status
from outbox.attempt a where a.delivery_id = %(id)s order by a.started_at, a.fence

-- name: timeline_alerts
select a.id, a.kind, a.first_seen_at, a.resolved_at, a.facts ->> 'message' as message, a.facts ->> 'code' as code,
       coalesce(m.messages, 0) as mails, m.told_at as mailed_at, coalesce(c.messages, 0) as chats, c.told_at as chatted_at
from outbox.alert a
left join outbox.alert_told m on m.alert_id = a.id and m.channel = 'email'
left join outbox.alert_told c on c.alert_id = a.id and c.channel = 'chat'
where a.booking_id = %(booking_id)s::uuid
   or a.id in (select x.alert_id from outbox.alert_delivery x where x.delivery_id = %(id)s::bigint)
order by a.id

-- name: timeline_actions
select o.at, o.actor, o.action, o.reason, o.target, o.affected
from outbox.operator_action o where o.deliveries @> array[%(id)s::bigint] order by o.id

-- name: requeue_failed
select d.destination, d.key from outbox.delivery d
where d.failed_at is not null
  and (%(code)s::text is null or d.last_error_code = %(code)s::text)
  and (%(since)s::timestamptz is null or d.failed_at >= %(since)s::timestamptz)

-- name: requeue_missing
-- Paid and confirmed, and neither requested nor held anywhere.
select 'guestly' as destination, b.id::text as key from public.bookings b
where b.status = 'confirmed' and b.payment_status = 'completed'
  and not exists (select from outbox.reservation r where r.booking_id = b.id)
  and not exists (select from outbox.delivery d where d.destination = 'guestly' and d.key = b.id::text)

-- name: requeue_test_mode
select 'guestly' as destination, r.booking_id::text as key
from outbox.reservation r join public.bookings b on b.id = r.booking_id
where r.mode = 'test' and r.pms = %(pms)s

-- name: requeue_plan
select k.destination, k.key, k.uuid as booking_id, b.id is not null as present, b.booking_reference, b.status, b.payment_status,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
       d.id, d.requested, d.delivered, d.due_at, d.failed_at, d.discarded_at, d.uncertain_at, d.attempts, d.lease_until, d.last_error_code,
       exists (select from outbox.reservation r where r.booking_id = k.uuid) as reserved, now() as now
from (
  select u.destination, u.key, u.place,
         case when u.destination = 'guestly' and u.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then u.key::uuid end as uuid
  from unnest(%(destinations)s::text[], %(keys)s::text[]) with ordinality as u (destination, key, place)) k
left join outbox.delivery d on d.destination = k.destination and d.key = k.key
left join public.bookings b on b.id = k.uuid
order by k.place

-- name: requeue
-- Only rows that are still as they were shown, and that nobody is working on. The lease of a worker that
-- was lost is closed here as a claim would close it, so that the new round begins with all its attempts.
with i as (
  select * from unnest(%(ids)s::bigint[], %(requested)s::bigint[], %(delivered)s::bigint[], %(failed_at)s::timestamptz[], %(discarded_at)s::timestamptz[])
    as i (id, requested, delivered, failed_at, discarded_at)),
c as materialized (
  select d.id, d.owner, d.fence, d.round, d.attempts, d.claimed_at, d.lease_until
  from outbox.delivery d join i on i.id = d.id
  where d.id = any (%(ids)s::bigint[]) and (d.owner is null or d.lease_until <= now())
    and d.requested = i.requested and d.delivered = i.delivered
    and d.failed_at is not distinct from i.failed_at and d.discarded_at is not distinct from i.discarded_at
  order by d.id for no key update of d),
lost as (
  insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at, finished_at, outcome, error_code)
  select id, fence, round, attempts, owner, claimed_at, lease_until, 'lost', 'worker_lost' from c where owner is not null),
u as (
  update outbox.delivery d set
    requested = d.requested + 1, requested_at = now(), due_at = now(), failed_at = null, discarded_at = null,
    attempts = 0, round = d.round + 1,
    -- whoever was lost may have sent until the end of its lease
    uncertain_at = case when d.owner is null then d.uncertain_at else greatest(d.uncertain_at, d.lease_until) end,
    owner = null, fence = 0, lease_until = null
  where d.id = any (array(select id from c))
  returning d.id, d.requested)
insert into outbox.request (delivery_id, version, reason, reference)
select u.id, u.requested, 'operator', %(actor)s::text from u order by u.id
returning delivery_id, version

-- name: request_never_requested
-- The bookings are locked by the caller, so the status that was shown cannot change any more.
select i.id as booking_id, outbox.request_sync(i.id, 'operator', %(actor)s::text) as version
from unnest(%(ids)s::uuid[], %(statuses)s::text[]) as i (id, status)
join public.bookings b on b.id = i.id and b.status = i.status
where not exists (select from outbox.delivery x where x.destination = 'guestly' and x.key = i.id::text)

-- name: booking_deliveries
select d.id, d.key, d.requested from outbox.delivery d where d.destination = 'guestly' and d.key = any (%(keys)s::text[])

-- name: requeue_progress
select d.id, d.destination, d.requested, d.delivered, d.due_at, d.failed_at, d.discarded_at, d.uncertain_at, d.attempts, d.lease_until,
       d.last_error_code, d.last_error, r.reservation_id, coalesce(t.tested, false) as tested, now() as now
from outbox.delivery d
left join lateral (
  select a.outcome = 'test' as tested from outbox.attempt a where a.delivery_id = d.id order by a.started_at desc, a.fence desc limit 1) t on true
left join lateral (
  select o.reservation_id from outbox.reservation o
  where o.booking_id = case when d.destination = 'guestly' and d.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then d.key::uuid end
  order by o.mode, o.updated_at desc limit 1) r on true
where d.id = any (%(ids)s::bigint[])

-- name: record_action
insert into outbox.operator_action (actor, action, reason, target, deliveries, affected)
values (%(actor)s, %(action)s, %(reason)s, %(target)s, %(deliveries)s::bigint[], %(affected)s)
returning id
