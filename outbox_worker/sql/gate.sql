-- The gates of destinations: pause, circuit, rate. A transaction that locks one locks it before alerts and after nothing else,
-- and never waits for a delivery while it holds it.

-- name: gate_begin
-- Whoever holds a gate for long holds up its destination, and nothing else.
select set_config('lock_timeout', '200ms', true),
       -- a worker that is frozen, or a host that is lost, lets go of it
       set_config('idle_in_transaction_session_timeout', '5s', true)

-- name: gate_lock
-- The same columns as gate_read_all, which a test compares: one locks, the other must not. Whoever has changed a gate reads it back with this.
select g.destination, g.paused_at, g.paused_until, g.paused_by, g.pause_reason, g.circuit, g.circuit_failures, g.circuit_row, g.circuit_rows, g.circuit_opens,
       g.circuit_until, g.circuit_cause, g.circuit_code, g.circuit_opened_at, g.probe_owner, g.probe_until, g.held_since, g.held_until, g.rate_tokens,
       g.auth_code, g.auth_not_before, now() as now
from outbox.destination g where g.destination = %(destination)s for no key update

-- name: gate_insert
insert into outbox.destination (destination) values (%(destination)s) on conflict do nothing

-- name: gate_write_circuit
update outbox.destination set
  circuit = %(circuit)s, circuit_failures = %(failures)s, circuit_row = %(row)s::bigint, circuit_rows = %(several)s, circuit_opens = %(opens)s,
  circuit_until = %(until)s::timestamptz, circuit_cause = %(cause)s::text, circuit_code = %(code)s::text, circuit_opened_at = %(opened_at)s::timestamptz,
  probe_owner = %(probe_owner)s::text, probe_until = %(probe_until)s::timestamptz,
  auth_failed_at = case when %(cause)s::text = 'misconfigured' then coalesce(auth_failed_at, now()) end,
  held_until = %(held_until)s::timestamptz, held_since = %(held_since)s::timestamptz,
  redrive_before = coalesce(%(redrive_before)s::timestamptz, redrive_before),
  updated_at = now()
where destination = %(destination)s

-- name: gate_write_rate
update outbox.destination set rate_tokens = %(usage)s::jsonb, rate_updated_at = now() where destination = %(destination)s

-- name: gate_take_probe
-- Half open only if there is something to probe with: what is due, else what an outage gave up and time may heal.
update outbox.destination g set
  circuit = 'half_open', probe_owner = %(owner)s, probe_until = now() + %(lease)s::interval, updated_at = now()
where g.destination = %(destination)s and (g.paused_at is null or g.paused_until <= now()) and (g.held_until is null or g.held_until <= now())
  and (g.circuit = 'open' and g.circuit_until <= now() or g.circuit = 'half_open' and g.probe_until <= now())
  and coalesce(
    (select d.id from outbox.delivery d
     where d.destination = %(destination)s and d.due_at <= now() and (d.owner is null or d.lease_until <= now()) order by d.due_at limit 1),
    (select d.id from outbox.delivery d
     where d.destination = %(destination)s and d.due_at > now() and d.failed_at is not null and d.owner is null
       and (d.uncertain_at is null or d.uncertain_at + %(quiet)s::interval <= now()) order by d.due_at limit 1)) is not null
returning g.destination

-- name: gate_probe_row
-- The oldest due row, or with none due the oldest failed one; one that has just failed a probe has gone to the back of its queue.
select coalesce(
  (select d.id from outbox.delivery d
   where d.destination = %(destination)s and d.due_at <= now() and (d.owner is null or d.lease_until <= now()) order by d.due_at limit 1),
  (select d.id from outbox.delivery d
   where d.destination = %(destination)s and d.due_at > now() and d.failed_at is not null and d.owner is null
       and (d.uncertain_at is null or d.uncertain_at + %(quiet)s::interval <= now()) order by d.due_at limit 1)) as id

-- name: gate_allow_probe
update outbox.destination set circuit_until = now(), updated_at = now()
where destination = %(destination)s and circuit = 'open' and circuit_until > now() and (%(cause)s::text is null or circuit_cause = %(cause)s::text)
returning destination

-- name: gate_pause
update outbox.destination set
  paused_at = coalesce(case when paused_until is null or paused_until > now() then paused_at end, now()),
  paused_until = now() + %(length)s::interval, paused_by = %(by)s, pause_reason = %(reason)s, updated_at = now()
where destination = %(destination)s

-- name: gate_resume
-- A token that lacks a permission is given up for another only where no more than three of the day's five requests are on record (the fourth
-- last one is a day old): else it is kept, and a resume never leads to the last request.
update outbox.destination g set
  paused_at = null, paused_until = null, paused_by = null, pause_reason = null, held_until = null,
  circuit_until = case when circuit = 'open' then least(circuit_until, now()) else circuit_until end,
  auth_failures = 0, auth_code = null, auth_not_before = null,
  token_refused_at = case when token_forbidden and spare then now() else token_refused_at end,
  token_forbidden = token_forbidden and not spare, updated_at = now()
from (
  select d.destination as name,
         coalesce(d.auth_requests[cardinality(d.auth_requests) - 3] <= now() - interval '24 hours 1 minute', true) as spare
  from outbox.destination d where d.destination = %(destination)s) o
where g.destination = o.name

-- name: gate_read_all
select g.destination, g.paused_at, g.paused_until, g.paused_by, g.pause_reason, g.circuit, g.circuit_failures, g.circuit_row, g.circuit_rows, g.circuit_opens,
       g.circuit_until, g.circuit_cause, g.circuit_code, g.circuit_opened_at, g.probe_owner, g.probe_until, g.held_since, g.held_until, g.rate_tokens,
       g.auth_code, g.auth_not_before, now() as now
from outbox.destination g order by g.destination

-- name: redrive_given_up
-- What was given up and not tried since then, first what would be tried again first; no more than can be taken up at once, so that new bookings never queue behind.
with f as materialized (
  select d.id from outbox.delivery d
  where d.destination = %(destination)s and d.failed_at is not null and d.due_at > now() and d.owner is null and d.claimed_at < %(before)s
  order by d.due_at limit %(limit)s for no key update skip locked)
update outbox.delivery d set due_at = now() where d.id = any (array(select f.id from f))
returning d.id

-- name: gate_redriven
update outbox.destination set redrive_before = null where destination = %(destination)s and redrive_before = %(before)s
