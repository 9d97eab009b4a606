-- depends: 0008.create-operations 0013.tell-each-channel
-- The gate learns why its circuit is open, what it waits for, and what it owes to rows that an outage gave up.
-- Locks: none on any table of the site. Duration: milliseconds.
alter table outbox.destination
  add column circuit_cause     text check (circuit_cause in ('outage', 'misconfigured')),
  add column circuit_code      text,
  add column circuit_opened_at timestamptz,
  add column circuit_row       bigint,
  add column circuit_rows      boolean not null default false,
  add column held_until        timestamptz,
  add column held_since        timestamptz,
  add column redrive_before    timestamptz;

alter table outbox.destination add constraint destination_circuit_times check (
  (circuit = 'closed') = (circuit_cause is null)
  and (circuit <> 'open' or circuit_until is not null)
  and (circuit <> 'half_open' or (probe_owner is not null and probe_until is not null)));

-- What an outage gave up: the rows of a probe and of the redrive, without those that wait for a person.
create index delivery_redrive on outbox.delivery (destination, due_at) where failed_at is not null and due_at is not null;

comment on column outbox.destination.circuit_failures is 'Calls in a row that the destination did not answer, while the circuit is closed.';
comment on column outbox.destination.circuit_opens is 'How often in a row it opened: the wait before the next probe doubles with it.';
comment on column outbox.destination.circuit_until is 'Open: when the next probe may be sent.';
comment on column outbox.destination.circuit_cause is 'outage: calls fail; misconfigured: our key or address is refused.';
comment on column outbox.destination.circuit_row is 'Delivery of the first of those failures; circuit_rows: another one failed too.';
comment on column outbox.destination.held_until is 'The destination asked to be left alone until then (429).';
comment on column outbox.destination.held_since is 'When it first asked for that without having answered a call since.';
comment on column outbox.destination.redrive_before is 'Rows given up and not tried since then are tried again as soon as nothing else is due; null: none are.';
comment on column outbox.destination.rate_tokens is 'Calls of all workers lately: window length in seconds to pairs of (slot, calls).';

alter table outbox.alert drop constraint alert_kind_check;
alter table outbox.alert add constraint alert_kind_check check (
  kind in ('sync_failed', 'sync_rejected', 'sync_uncertain', 'circuit_open', 'misconfigured', 'amount_mismatch', 'paid_after_cancellation',
           'paid_twice', 'canceled_after_confirmation', 'paid_without_booking', 'event_failed', 'event_malformed', 'reported',
           'channel_failing', 'test'));
