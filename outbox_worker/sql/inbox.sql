-- Inbound events and what a payment changes on a booking. Everything but the reads is part of one transaction per event.
-- Lock order: the event, then bookings, deliveries, alerts, the alerts' own deliveries.

-- name: inbox_begin
-- Sent in one message with the bounds, as a round trip of its own would be as dear as any other.
begin

-- name: inbox_bounds
-- Local to the transaction, so that a transaction pooler hands no setting on. The origin silences the optional trigger.
-- What the sender is told to be kept must outlive a crash of the server, even where a site has traded that for speed.
select set_config('synchronous_commit', case current_setting('synchronous_commit') when 'off' then 'on' else current_setting('synchronous_commit') end, true),
       set_config('lock_timeout', %(lock_timeout)s::text, true),
       set_config('statement_timeout', %(statement_timeout)s::text, true),
       set_config('idle_in_transaction_session_timeout', %(idle_timeout)s::text, true),
       set_config('outbox.origin', %(origin)s::text, true)

-- name: inbox_insert
-- Waits for a concurrent insert of the same id and then does nothing, or takes over if that one is rolled back.
insert into outbox.inbox_event (source, id, type, body, livemode, account, object_id, payment_intent_id, outcome, detail)
values ('stripe', %(id)s::text, %(type)s::text, %(body)s::bytea, %(livemode)s::boolean, %(account)s::text, %(object_id)s::text,
        %(payment_intent_id)s::text, %(outcome)s::text, left(%(detail)s::text, 500))
on conflict (source, id) do nothing
returning id

-- name: inbox_lock_event
select e.outcome, e.body from outbox.inbox_event e where e.source = 'stripe' and e.id = %(id)s::text for no key update

-- name: inbox_lock_bookings
-- Every booking that holds the intent or that the metadata name: locked by id, told oldest first.
with locked as materialized (
  select b.id, b.booking_reference, b.status, b.payment_status, b.total, b.stripe_payment_intent_id, b.stripe_charge_id, b.created_at
  from public.bookings b
  -- the second half is the condition of the partial index: without it a generic plan reads all bookings
  where b.stripe_payment_intent_id = %(intent_id)s::text and b.stripe_payment_intent_id <> '' or b.id = %(booking_id)s::uuid or b.booking_reference = %(reference)s::text
  order by b.id
  for no key update)
-- cast: the site may change the type of one, and then a prepared statement could not answer any more
select l.id, l.booking_reference::text, l.status::text, l.payment_status::text, l.total::numeric, l.stripe_payment_intent_id::text, l.stripe_charge_id::text
from locked l order by l.created_at, l.id

-- name: inbox_knows_property
select exists (select from public.properties p where p.id = %(property_id)s::uuid) as known

-- name: inbox_change_booking
-- A statement of its own: the site may have rules and triggers on its table, and what changes nothing must not meet them.
update public.bookings b set
  status                   = coalesce(%(status)s::text, b.status),
  payment_status           = coalesce(%(payment_status)s::text, b.payment_status),
  stripe_payment_intent_id = coalesce(%(intent_id)s::text, b.stripe_payment_intent_id),
  stripe_charge_id         = coalesce(%(charge_id)s::text, b.stripe_charge_id),
  confirmed_at             = case when %(status)s::text = 'confirmed' then coalesce(b.confirmed_at, now()) else b.confirmed_at end,
  cancelled_at             = case when %(status)s::text = 'cancelled' then coalesce(b.cancelled_at, now()) else b.cancelled_at end
where b.id = %(booking_id)s::uuid
returning b.id

-- name: inbox_decide
-- What became of an event, and the sync that it asks for: a round trip less while the booking is locked.
update outbox.inbox_event e
set outcome = %(outcome)s::text, detail = left(%(detail)s::text, 500), booking_id = coalesce(%(booking_id)s::uuid, e.booking_id), decided_at = now()
where e.source = 'stripe' and e.id = %(id)s::text
returning case when %(sync)s::boolean then outbox.request_sync(%(booking_id)s::uuid, 'stripe', %(id)s::text) end as sync

-- name: inbox_known_to_pms
-- A statement of its own, after the booking is locked: only then does it see what others have requested meanwhile.
select exists (select from outbox.delivery d where d.destination = 'guestly' and d.key = %(booking_id)s::uuid::text) as asked,
       exists (select from outbox.reservation r where r.booking_id = %(booking_id)s::uuid) as held

-- name: inbox_overdue
-- What a re-drive needs to know of its events; their age by the database's clock.
select e.id, e.outcome, e.payment_intent_id, e.detail, now() - e.received_at as age
from outbox.inbox_event e
where e.source = 'stripe' and e.id = any (%(ids)s::text[])

-- name: inbox_readiness
-- Whether this database can take events: migrated, and not a standby.
select to_regclass('outbox.inbox_event') is not null and to_regprocedure('outbox.request_sync(uuid, text, text, text)') is not null as migrated,
       current_setting('transaction_read_only') = 'on' as read_only
