-- Inbound events as operators see them. Nothing of a body but its length, save where a person asks for the body itself.

-- name: list_events
-- The newest first, in the order of the index on received_at. What a person has set aside has no other outcome any more.
with aside as materialized (
  select d.key from outbox.delivery d where d.destination = 'inbox' and d.discarded_at is not null)
select e.source, e.id, e.type, e.outcome, e.detail, e.livemode, e.payment_intent_id, e.booking_id, b.booking_reference, e.received_at,
       e.id in (select a.key from aside a) as discarded
from outbox.inbox_event e left join public.bookings b on b.id = e.booking_id
where (%(outcomes)s::text[] is null
       or e.outcome = any (%(outcomes)s::text[]) and e.id not in (select a.key from aside a)
       or %(discarded)s::boolean and e.id in (select a.key from aside a))
  and (%(types)s::text[] is null or e.type like any (%(types)s::text[]))
  and (%(since)s::timestamptz is null or e.received_at >= %(since)s::timestamptz)
  and (%(after_id)s::text is null or (e.received_at, e.id) < (%(after_at)s::timestamptz, %(after_id)s::text))
order by e.received_at desc, e.id desc
limit %(limit)s

-- name: count_events
-- So many are counted at most.
with aside as materialized (
  select d.key from outbox.delivery d where d.destination = 'inbox' and d.discarded_at is not null)
select count(*) as n from (
  select from outbox.inbox_event e
  where (%(outcomes)s::text[] is null
         or e.outcome = any (%(outcomes)s::text[]) and e.id not in (select a.key from aside a)
         or %(discarded)s::boolean and e.id in (select a.key from aside a))
    and (%(types)s::text[] is null or e.type like any (%(types)s::text[]))
    and (%(since)s::timestamptz is null or e.received_at >= %(since)s::timestamptz)
    and (%(after_id)s::text is null or (e.received_at, e.id) < (%(after_at)s::timestamptz, %(after_id)s::text))
  limit %(limit)s) x

-- name: event_place
select e.received_at, e.id from outbox.inbox_event e where e.source = any ('{stripe,pms}') and e.id = %(id)s::text

-- name: event_named
-- Every source is named: before Postgres 18 the primary key serves no condition on the id alone.
select e.id from outbox.inbox_event e where e.source = any ('{stripe,pms}') and e.id = %(ref)s::text

-- name: events_about_payment
select e.id from outbox.inbox_event e where e.payment_intent_id = %(ref)s::text order by e.received_at desc, e.id limit %(limit)s

-- name: events_beginning
-- No index serves it; asked only when nothing matches exactly.
select e.id from outbox.inbox_event e where lower(e.id) like %(pattern)s::text order by e.id limit %(limit)s

-- name: event_facts
select e.source, e.id, e.type, e.outcome, e.detail, e.livemode, e.account, e.object_id, e.payment_intent_id, e.booking_id, b.booking_reference,
       e.received_at, e.decided_at, length(e.body) as body_bytes,
       d.id as delivery_id, d.requested, d.delivered, d.due_at, d.failed_at, d.discarded_at, d.uncertain_at, d.attempts, d.lease_until,
       d.last_error_code, now() as now
from outbox.inbox_event e
left join public.bookings b on b.id = e.booking_id
left join outbox.delivery d on d.destination = 'inbox' and d.key = e.id
where e.source = any ('{stripe,pms}') and e.id = %(id)s::text

-- name: event_body
select e.body from outbox.inbox_event e where e.source = any ('{stripe,pms}') and e.id = %(id)s::text
