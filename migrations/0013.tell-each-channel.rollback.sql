delete from outbox.alert_delivery x using outbox.alert a where a.id = x.alert_id and a.kind = 'channel_failing';
delete from outbox.alert where kind = 'channel_failing';
alter table outbox.alert drop constraint alert_kind_check;
alter table outbox.alert add constraint alert_kind_check check (
  kind in ('sync_failed', 'sync_rejected', 'misconfigured', 'amount_mismatch', 'paid_after_cancellation',
           'paid_twice', 'canceled_after_confirmation', 'paid_without_booking', 'event_failed', 'event_malformed', 'reported', 'test'));
update outbox.alert a set mails = t.messages, mailed_at = t.told_at, solved_mailed_at = t.solved_told_at, planned_mail = t.planned_message
from outbox.alert_told t where t.alert_id = a.id and t.channel = 'email';
update outbox.alert_delivery x set mail = t.planned_message, mailed_at = case when x.id <= t.told_to then t.told_at end
from outbox.alert_told t where t.alert_id = x.alert_id and t.channel = 'email' and x.id <= greatest(t.told_to, t.planned_to);
create index alert_delivery_unmailed on outbox.alert_delivery (alert_id, id) where mailed_at is null;
comment on column outbox.alert.mails is 'Mails accepted so far; part of the Message-ID, so that a repeated mail is the same mail.';
comment on column outbox.alert.mailed_at is null;
comment on column outbox.alert.planned_mail is 'Number of the mail whose rows are chosen; one of unknown outcome is repeated with the same rows.';
comment on column outbox.alert.solved_mailed_at is 'When the last mail was accepted, if that one says that it is solved.';
comment on column outbox.alert_delivery.mail is 'Number of the mail that names it, chosen before that mail is sent; null: none yet.';
comment on column outbox.alert_delivery.mailed_at is 'When a mail that names it was accepted; null: not named yet.';
drop table outbox.alert_told;
