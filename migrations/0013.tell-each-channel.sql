-- depends: 0007.create-alert
-- Each channel keeps its own account of what it has told of an incident, so that neither waits for the other.
-- Locks: none on any table of the site; ACCESS EXCLUSIVE on outbox.alert while it is read once. Duration: milliseconds.
create table outbox.alert_told (
  alert_id        bigint      not null references outbox.alert (id) on delete cascade,
  channel         text        not null check (channel in ('email', 'chat')),
  messages        integer     not null default 0,
  told_at         timestamptz,
  solved_told_at  timestamptz,
  told_to         bigint      not null default 0,
  planned_message integer     not null default 0,
  planned_to      bigint      not null default 0,
  primary key (alert_id, channel)
);
comment on table  outbox.alert_told is 'What one channel has told of an alert; no row: nothing yet.';
comment on column outbox.alert_told.messages is 'Messages accepted so far; part of a mail''s Message-ID, so that a repeated mail is the same mail.';
comment on column outbox.alert_told.solved_told_at is 'When the last message was accepted, if that one says that it is solved.';
comment on column outbox.alert_told.told_to is 'Rows of alert_delivery up to this id were named by accepted messages. Whoever adds one holds the alert, so ids only grow.';
comment on column outbox.alert_told.planned_message is 'Number of the message whose rows are chosen; one of unknown outcome is repeated with the same rows.';
comment on column outbox.alert_told.planned_to is 'Last row of alert_delivery that the planned message names.';

-- What was told so far was told by mail. A row that is doubtful is told again rather than never.
insert into outbox.alert_told (alert_id, channel, messages, told_at, solved_told_at, told_to, planned_message, planned_to)
select a.id, 'email', a.mails, a.mailed_at, a.solved_mailed_at, n.told_to, a.planned_mail, greatest(n.told_to, n.planned_to)
from outbox.alert a
  cross join lateral (
    select coalesce(min(x.id) filter (where x.mailed_at is null) - 1, max(x.id), 0) as told_to,
           coalesce(max(x.id) filter (where x.mailed_at is null and x.mail = a.planned_mail), 0) as planned_to
    from outbox.alert_delivery x where x.alert_id = a.id) as n
where a.mails > 0 or a.planned_mail > 0;

-- A worker of the version before may still run: its columns stay until a later migration.
drop index outbox.alert_delivery_unmailed;
comment on column outbox.alert.mails is 'Not used any more, see alert_told; a later migration drops it.';
comment on column outbox.alert.mailed_at is 'Not used any more, see alert_told; a later migration drops it.';
comment on column outbox.alert.planned_mail is 'Not used any more, see alert_told; a later migration drops it.';
comment on column outbox.alert.solved_mailed_at is 'Not used any more, see alert_told; a later migration drops it.';
comment on column outbox.alert_delivery.mail is 'Not used any more, see alert_told; a later migration drops it.';
comment on column outbox.alert_delivery.mailed_at is 'Not used any more, see alert_told; a later migration drops it.';

alter table outbox.alert drop constraint alert_kind_check;
alter table outbox.alert add constraint alert_kind_check check (
  kind in ('sync_failed', 'sync_rejected', 'misconfigured', 'amount_mismatch', 'paid_after_cancellation', 'paid_twice', 'canceled_after_confirmation',
           'paid_without_booking', 'event_failed', 'event_malformed', 'reported', 'channel_failing', 'test'));
