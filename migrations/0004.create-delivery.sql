-- depends: 0001.create-outbox-schema
-- The outbox row, why it was asked for, and every call that was made for it.
-- Locks: none on any table of the site. Duration: milliseconds.
create table outbox.delivery (
  -- never reused: a settle that names a pruned row cannot hit its successor
  id              bigint generated always as identity primary key,
  destination     text        not null check (destination in ('guestly', 'email', 'chat', 'inbox')),
  key             text        not null check (length(key) between 1 and 300),
  requested       bigint      not null default 1,
  delivered       bigint      not null default 0,
  due_at          timestamptz,
  failed_at       timestamptz,
  discarded_at    timestamptz,
  uncertain_at    timestamptz,
  attempts        integer     not null default 0,
  round           integer     not null default 1,
  fence           bigint      not null default 0,
  owner           text,
  claimed_at      timestamptz,
  -- null at rest, not '-infinity': psycopg cannot read that value
  lease_until     timestamptz,
  last_error_code text,
  last_error      text check (length(last_error) <= 500),
  requested_at    timestamptz not null default now(),
  delivered_at    timestamptz,
  constraint delivery_key unique (destination, key),
  constraint delivery_versions check (delivered >= 0 and delivered <= requested),
  constraint delivery_counts check (attempts >= 0 and round >= 1),
  -- Nothing owed is ever forgotten: a settle that forgets to compare versions cannot commit.
  constraint delivery_owed check (delivered = requested or due_at is not null or failed_at is not null or discarded_at is not null),
  constraint delivery_failed_is_owed check (failed_at is null or delivered < requested),
  constraint delivery_discarded_rests check (discarded_at is null or (due_at is null and failed_at is null and owner is null)),
  constraint delivery_claimed_is_due check (owner is null or due_at is not null),
  constraint delivery_owner_fence check ((owner is null) = (fence = 0) and (owner is null) = (lease_until is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Claims change none of these columns, so they stay HOT.
create index delivery_due    on outbox.delivery (destination, due_at)    where due_at is not null;
create index delivery_failed on outbox.delivery (destination, failed_at) where failed_at is not null;
-- what people look at, not the engine: few rows ever stand in it
create index delivery_discarded on outbox.delivery (destination) where discarded_at is not null;

comment on table  outbox.delivery is 'One row per (destination, key): the destination should hold the current state of the key, version "requested".';
comment on column outbox.delivery.requested is 'Version asked for; every request adds one under the row''s lock.';
comment on column outbox.delivery.delivered is 'Version that the destination is known to hold.';
comment on column outbox.delivery.due_at is 'When to try (again); null: nothing owed, or a person''s turn.';
comment on column outbox.delivery.failed_at is 'Given up since; kept through redrives, cleared by success, a new request, requeue and discard.';
comment on column outbox.delivery.discarded_at is 'A person said: not owed.';
comment on column outbox.delivery.uncertain_at is 'Until then a write of unknown outcome may have been under way; null: none.';
comment on column outbox.delivery.attempts is 'Attempts of this round, charged at claim.';
comment on column outbox.delivery.fence is 'Fencing token of the present claim; 0 at rest.';
comment on column outbox.delivery.owner is 'Worker that claimed the row and has not settled it; null at rest.';

create table outbox.request (
  id           bigint generated always as identity primary key,
  delivery_id  bigint      not null,
  version      bigint      not null,
  reason       text        not null check (reason in ('stripe', 'operator', 'redrive', 'database', 'takeover', 'alert')),
  reference    text,
  traceparent  text,
  requested_at timestamptz not null default now()
);
create index request_delivery on outbox.request (delivery_id);
comment on table outbox.request is 'Why a delivery was asked for. Append-only.';

create table outbox.attempt (
  delivery_id bigint      not null,
  fence       bigint      not null,
  round       integer     not null,
  number      integer     not null,
  version     bigint,
  worker      text        not null,
  started_at  timestamptz not null,
  finished_at timestamptz not null,
  outcome     text        not null check (outcome in ('held', 'nothing', 'test', 'not_configured', 'failed', 'ambiguous', 'rejected',
                                                      'rate_limited', 'misconfigured', 'waiting', 'lost')),
  error_code  text,
  error       text check (length(error) <= 500),
  http_status integer,
  -- the same claim can never be settled twice
  primary key (delivery_id, fence)
);
comment on table outbox.attempt is 'One finished call of a destination, or a claim whose owner was lost. Append-only.';
