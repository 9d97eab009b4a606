-- depends: 0004.create-delivery
-- Incidents and the deliveries that each of them names.
-- Locks: none on any table of the site. Duration: milliseconds.
create table outbox.alert (
  id               bigint generated always as identity primary key,
  kind             text        not null check (kind in ('sync_failed', 'sync_rejected', 'misconfigured', 'amount_mismatch', 'paid_after_cancellation',
                                                        'paid_twice', 'canceled_after_confirmation', 'paid_without_booking', 'event_failed',
                                                        'event_malformed', 'reported', 'test')),
  fingerprint      text        not null check (length(fingerprint) between 1 and 300),
  booking_id       uuid,
  facts            jsonb       not null default '{}',
  count            bigint      not null default 1,
  mails            integer     not null default 0,
  mailed_at        timestamptz,
  planned_mail     integer     not null default 0,
  solved_mailed_at timestamptz,
  first_seen_at    timestamptz not null default now(),
  last_seen_at     timestamptz not null default now(),
  resolved_at      timestamptz
);
create unique index alert_open on outbox.alert (kind, fingerprint) where resolved_at is null;
create index alert_resolved on outbox.alert (kind, fingerprint, resolved_at) where resolved_at is not null;
create index alert_booking on outbox.alert (booking_id) where booking_id is not null;
comment on table  outbox.alert is 'One incident, open until resolved; opened again if it is back within minutes.';
comment on column outbox.alert.facts is 'Ids, codes and amounts for the text of the alert; never guest data.';
comment on column outbox.alert.count is 'How often it was reported.';
comment on column outbox.alert.mails is 'Mails accepted so far; part of the Message-ID, so that a repeated mail is the same mail.';
comment on column outbox.alert.planned_mail is 'Number of the mail whose rows are chosen; one of unknown outcome is repeated with the same rows.';
comment on column outbox.alert.solved_mailed_at is 'When the last mail was accepted, if that one says that it is solved.';

create table outbox.alert_delivery (
  id          bigint generated always as identity primary key,
  alert_id    bigint      not null,
  delivery_id bigint      not null,
  failed_at   timestamptz not null,
  mail        integer,
  mailed_at   timestamptz,
  healed_at   timestamptz
);
create index alert_delivery_alert on outbox.alert_delivery (alert_id, id);
create index alert_delivery_unmailed on outbox.alert_delivery (alert_id, id) where mailed_at is null;
-- A delivery is named once by an incident until it is healed; the arbiter of concurrent reports.
create unique index alert_delivery_open on outbox.alert_delivery (delivery_id, alert_id) where healed_at is null;
comment on table  outbox.alert_delivery is 'A delivery that an alert names: one row per time that it was given up.';
comment on column outbox.alert_delivery.mail is 'Number of the mail that names it, chosen before that mail is sent; null: none yet.';
comment on column outbox.alert_delivery.mailed_at is 'When a mail that names it was accepted; null: not named yet.';
