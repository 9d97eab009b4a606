-- depends: 0001.create-outbox-schema
-- Gates shared by all workers, the workers themselves, and what operators did.
-- Locks: none on any table of the site. Duration: milliseconds.
create table outbox.destination (
  destination      text        primary key check (destination in ('guestly', 'email', 'chat', 'inbox')),
  paused_at        timestamptz,
  paused_until     timestamptz,
  paused_by        text,
  pause_reason     text,
  circuit          text        not null default 'closed' check (circuit in ('closed', 'open', 'half_open')),
  circuit_failures integer     not null default 0,
  circuit_opens    integer     not null default 0,
  circuit_until    timestamptz,
  probe_owner      text,
  probe_until      timestamptz,
  rate_tokens      jsonb       not null default '{}',
  rate_updated_at  timestamptz,
  auth_failed_at   timestamptz,
  auth_requests    timestamptz[] not null default '{}',
  access_token     text,
  token_expires_at timestamptz,
  updated_at       timestamptz not null default now()
);
insert into outbox.destination (destination) values ('guestly'), ('email'), ('chat'), ('inbox');
comment on table outbox.destination is 'The gate of one destination: pause, circuit, rate and authentication, shared by all workers.';

create table outbox.worker (
  id           text        primary key,
  host         text        not null,
  pid          integer     not null,
  version      text        not null,
  pms          text        not null,
  sync_enabled boolean     not null,
  test_mode    boolean     not null,
  listening    boolean     not null default false,
  in_flight    integer     not null default 0,
  started_at   timestamptz not null default now(),
  seen_at      timestamptz not null default now(),
  stopped_at   timestamptz
);
comment on table outbox.worker is 'A running worker and its heartbeat. Never used to decide recovery: the lease on the row does.';

create table outbox.operator_action (
  id         bigint generated always as identity primary key,
  at         timestamptz not null default now(),
  actor      text        not null,
  action     text        not null,
  reason     text,
  target     text        not null,
  deliveries bigint[]    not null default '{}',
  affected   integer     not null
);
create index operator_action_deliveries on outbox.operator_action using gin (deliveries);
comment on table outbox.operator_action is 'Who did what, why, to how many rows. Append-only.';
