drop index outbox.delivery_redrive;
delete from outbox.alert where kind in ('sync_uncertain', 'circuit_open');
alter table outbox.alert drop constraint alert_kind_check;
alter table outbox.alert add constraint alert_kind_check check (
  kind in ('sync_failed', 'sync_rejected', 'misconfigured', 'amount_mismatch', 'paid_after_cancellation',
           'paid_twice', 'canceled_after_confirmation', 'paid_without_booking', 'event_failed', 'event_malformed', 'reported',
           'channel_failing', 'test'));
alter table outbox.destination drop constraint destination_circuit_times;
alter table outbox.destination
  drop column circuit_cause, drop column circuit_code, drop column circuit_opened_at, drop column circuit_row, drop column circuit_rows,
  drop column held_until, drop column held_since, drop column redrive_before;
