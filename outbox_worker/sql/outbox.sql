-- The engine's statements. Each is one transaction of its own or part of the settling one.
-- Lock order everywhere: bookings, deliveries, alerts, the alerts' own deliveries; each by id.

-- name: request
select outbox.request(%(destination)s::text, %(key)s::text, %(reason)s::text, %(reference)s::text, %(traceparent)s::text) as version

-- name: request_sync
select outbox.request_sync(%(booking_id)s::uuid, %(reason)s::text, %(reference)s::text, %(traceparent)s::text) as version

-- name: notify
select pg_notify('outbox', '')

-- name: notify_in_time
-- Whoever sends a notification locks out all others of the whole server until it is on disk, another database's sessions among them.
select set_config('lock_timeout', '100ms', true), pg_notify('outbox', '')

-- name: end_transaction
-- Sent in one message with what is to follow it in a transaction of its own.
commit

-- name: claim
-- The sub-select under ANY keeps the index under generic plans, where UPDATE ... FROM flips to a
-- sequential scan. Old values come from the locking CTE: RETURNING would show the new ones.
-- A claim must outlive a crash of the server: lost, its row would look free and certain while its call is under way.
-- Of a destination whose gate is shut no row is looked at, however many are due.
-- A sub-select hides the length of its array from the planner: a kept plan would look dearer than one for this length, and be made anew
-- each time for as long as the tables have never been analyzed, which takes longer than the claim.
with durable as materialized (
  select set_config('synchronous_commit', case current_setting('synchronous_commit') when 'off' then 'on' else current_setting('synchronous_commit') end, true)),
gate as materialized (
  select w.destination, w.n, w.max_attempts, coalesce(g.circuit, 'closed') as circuit, g.circuit_until, g.probe_until, g.circuit_failures,
         g.redrive_before, g.held_until, g.held_since, g.paused_at is not null and (g.paused_until is null or g.paused_until > now()) as paused
  from durable cross join unnest((select %(destinations)s::text[]), (select %(limits)s::int[]), (select %(max_attempts)s::int[])) as w (destination, n, max_attempts)
    left join outbox.destination g on g.destination = w.destination),
want as materialized (
  select destination, n, max_attempts from gate where circuit = 'closed' and not paused and (held_until is null or held_until <= now())),
c as materialized (
  select x.* from want w cross join lateral (
    select d.id, d.owner, d.fence, d.round, d.attempts, d.claimed_at, d.lease_until
    from outbox.delivery d
    where d.destination = w.destination and d.due_at <= now() and (d.owner is null or d.lease_until <= now())
    order by d.due_at
    limit w.n
    for no key update skip locked) x),
lost as (
  insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at, finished_at, outcome, error_code)
  select id, fence, round, attempts, owner, claimed_at, lease_until, 'lost', 'worker_lost' from c where owner is not null),
-- Empty as a rule: looked up in c itself, each row of a batch would read the whole batch.
taken_over as materialized (select id, owner from c where owner is not null),
taken as (
  update outbox.delivery d set
    owner        = %(owner)s,
    fence        = nextval('outbox.fence_seq'),
    claimed_at   = now(),
    lease_until  = now() + %(lease)s::interval,
    -- at rest with its attempts used up and due all the same: a redrive, which is a new round
    attempts     = case when d.owner is null and d.attempts >= (select w.max_attempts from want w where w.destination = d.destination)
                        then 1 else d.attempts + 1 end,
    round        = d.round + case when d.owner is null and d.attempts >= (select w.max_attempts from want w where w.destination = d.destination)
                                  then 1 else 0 end,
    -- whoever was lost may have sent until the end of its lease
    uncertain_at = case when d.owner is null then d.uncertain_at else greatest(d.uncertain_at, d.lease_until) end
  where d.id = any (array(select id from c))
  returning d.id, d.destination, d.key, d.requested as version, d.fence, d.attempts, d.round, d.failed_at, d.uncertain_at,
            d.delivered_at, d.requested_at, clock_timestamp() as seen_at, (select o.owner from taken_over o where o.id = d.id) as lost_owner)
select g.destination as gate, w.destination is not null as open, g.redrive_before, coalesce(g.circuit_failures, 0) > 0 or g.held_since is not null as suspect,
       w.destination is null and not g.paused and (g.held_until is null or g.held_until <= now())
         and (g.circuit = 'open' and g.circuit_until <= now() or g.circuit = 'half_open' and g.probe_until <= now()) as probe_due,
       -- With no slot to fill: whether there is something to fill one with. "exists" alone may be planned as a sequential scan.
       w.n = 0 and (select d.id from outbox.delivery d where d.destination = w.destination and d.due_at <= now()
                    and (d.owner is null or d.lease_until <= now()) order by d.due_at limit 1) is not null as due,
       t.*
from gate g left join want w on w.destination = g.destination left join taken t on t.destination = g.destination

-- name: claim_one
-- The same for one row by id: somebody waits for this booking, or it probes whether its destination works again.
-- coalesce hides due_at from the planner, which otherwise prefers its index where nothing was due when it last looked.
with durable as materialized (
  select set_config('synchronous_commit', case current_setting('synchronous_commit') when 'off' then 'on' else current_setting('synchronous_commit') end, true)),
c as materialized (
  select d.id, d.owner, d.fence, d.round, d.attempts, d.claimed_at, d.lease_until
  from durable cross join outbox.delivery d
  where d.id = %(id)s and coalesce(d.due_at <= now() or %(probe)s and d.failed_at is not null and d.due_at is not null, false)
    and (d.owner is null or d.lease_until <= now())
  for no key update of d skip locked),
lost as (
  insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at, finished_at, outcome, error_code)
  select id, fence, round, attempts, owner, claimed_at, lease_until, 'lost', 'worker_lost' from c where owner is not null)
update outbox.delivery d set
  owner        = %(owner)s,
  fence        = nextval('outbox.fence_seq'),
  claimed_at   = now(),
  lease_until  = now() + %(lease)s::interval,
  attempts     = case when d.owner is null and d.attempts >= %(max_attempts)s::int then 1 else d.attempts + 1 end,
  round        = d.round + case when d.owner is null and d.attempts >= %(max_attempts)s::int then 1 else 0 end,
  uncertain_at = case when d.owner is null then d.uncertain_at else greatest(d.uncertain_at, d.lease_until) end
where d.id = any (array(select id from c))
returning d.id, d.destination, d.key, d.requested as version, d.fence, d.attempts, d.round, d.failed_at, d.uncertain_at,
          d.delivered_at, d.requested_at, clock_timestamp() as seen_at, (select c.owner from c where c.id = d.id) as lost_owner

-- name: extend
-- A row that somebody locks, such as the site in a long transaction, must not keep the other leases from being renewed.
-- Nobody can claim it meanwhile either: it is told apart from a row that is not ours any more.
with free as materialized (
  select d.id from outbox.delivery d where d.id = any (%(ids)s::bigint[]) order by d.id for no key update skip locked),
u as (
  update outbox.delivery d set lease_until = now() + %(lease)s::interval
  from unnest(%(ids)s::bigint[], %(fences)s::bigint[]) as s (id, fence)
  where d.id = any (array(select id from free)) and d.id = s.id and d.fence = s.fence and d.owner = %(owner)s and d.lease_until > now()
  returning d.fence)
select s.fence, exists (select from u where u.fence = s.fence) as renewed, not exists (select from free f where f.id = s.id) as locked
from unnest(%(ids)s::bigint[], %(fences)s::bigint[]) as s (id, fence)

-- name: lock_deliveries
select d.id from outbox.delivery d where d.id = any (%(ids)s::bigint[]) order by d.id for no key update

-- name: settle_held
with s as (
  select * from unnest(%(ids)s::bigint[], %(fences)s::bigint[], %(versions)s::bigint[], %(rounds)s::int[], %(numbers)s::int[],
                       %(outcomes)s::text[], %(http_statuses)s::int[])
    as s (id, fence, version, round, number, outcome, http_status)),
locked as materialized (
  select d.id from outbox.delivery d where d.id = any (%(ids)s::bigint[]) order by d.id for no key update),
u as (
  update outbox.delivery d set
    delivered = s.version, delivered_at = now(),
    -- asked for again since the claim: go round once more
    due_at   = case when d.requested > s.version then now() end,
    attempts = case when d.requested > s.version then 0 else d.attempts end,
    round    = d.round + case when d.requested > s.version then 1 else 0 end,
    failed_at = null, uncertain_at = null, last_error_code = null, last_error = null,
    -- the fence is burnt: a second settle finds nothing
    owner = null, fence = 0, lease_until = null
  from s
  where d.id = any (array(select id from locked)) and d.id = s.id and d.fence = s.fence and d.owner = %(owner)s
  returning d.id, d.claimed_at, d.requested > s.version as again, s.fence, s.version, s.round, s.number, s.outcome, s.http_status),
a as (
  insert into outbox.attempt (delivery_id, fence, round, number, version, worker, started_at, finished_at, outcome, http_status)
  select id, fence, round, number, version, %(owner)s, claimed_at, clock_timestamp(), outcome, http_status from u)
select id, again from u

-- name: settle_failed
with s as (
  select * from unnest(%(ids)s::bigint[], %(fences)s::bigint[], %(versions)s::bigint[], %(rounds)s::int[], %(numbers)s::int[],
                       %(outcomes)s::text[], %(codes)s::text[], %(errors)s::text[], %(http_statuses)s::int[], %(ambiguous)s::bool[],
                       %(settled_for)s::interval[], %(give_up)s::bool[], %(again_in)s::interval[], %(redrive_in)s::interval[], %(probes)s::bool[])
    as s (id, fence, version, round, number, outcome, code, error, http_status, ambiguous, settled_for, give_up, again_in, redrive_in, probe)),
locked as materialized (
  select d.id, d.failed_at as was_failed_at from outbox.delivery d where d.id = any (%(ids)s::bigint[]) order by d.id for no key update),
u as (
  update outbox.delivery d set
    last_error_code = s.code, last_error = left(s.error, 500),
    -- a failure never clears it, and never moves it back
    uncertain_at = case when s.ambiguous then greatest(d.uncertain_at, now() - s.settled_for) else d.uncertain_at end,
    -- giving up is about the version that was read: a newer request is tried at once, as if it had come after
    failed_at = case when s.give_up and d.requested = s.version then coalesce(d.failed_at, now()) else d.failed_at end,
    -- a failed probe goes to the back of its queue: one row alone must not decide when an outage is over
    due_at    = case when s.probe and d.failed_at is not null then greatest(d.due_at, now()) + interval '1 minute'
                     else now() + case when not s.give_up then s.again_in
                                       when d.requested > s.version then interval '0'
                                       else s.redrive_in end end,
    -- a probe that fails is the destination's fault, and costs the row no attempt
    attempts  = case when s.probe then greatest(d.attempts - 1, 0)
                     when s.give_up and d.requested > s.version then 0 else d.attempts end,
    round     = d.round + case when s.give_up and d.requested > s.version then 1 else 0 end,
    owner = null, fence = 0, lease_until = null
  from s
  where d.id = any (array(select id from locked)) and d.id = s.id and d.fence = s.fence and d.owner = %(owner)s
  returning d.id, d.claimed_at, d.failed_at, s.give_up and d.requested = s.version as gave_up, s.redrive_in,
            s.fence, s.version, s.round, s.number, s.outcome, s.code, s.error, s.http_status),
a as (
  insert into outbox.attempt (delivery_id, fence, round, number, version, worker, started_at, finished_at, outcome, error_code, error, http_status)
  select id, fence, round, number, version, %(owner)s, claimed_at, clock_timestamp(), outcome, code, left(error, 500), http_status from u)
-- told when it is given up for the first time, and once more when the redrives end: from then on it is a person's turn
select u.id, u.gave_up, u.gave_up and (l.was_failed_at is null or u.redrive_in is null) as tell from u join locked l on l.id = u.id

-- name: release
with s as (
  select * from unnest(%(ids)s::bigint[], %(fences)s::bigint[], %(versions)s::bigint[], %(rounds)s::int[], %(numbers)s::int[],
                       %(due_in)s::interval[], %(certain)s::bool[], %(outcomes)s::text[], %(codes)s::text[], %(errors)s::text[],
                       %(http_statuses)s::int[])
    as s (id, fence, version, round, number, due_in, certain, outcome, code, error, http_status)),
locked as materialized (
  select d.id from outbox.delivery d where d.id = any (%(ids)s::bigint[]) order by d.id for no key update),
u as (
  update outbox.delivery d set
    attempts = greatest(d.attempts - 1, 0),
    -- null keeps its place in the queue, and the update HOT
    due_at   = coalesce(now() + s.due_in, d.due_at),
    uncertain_at = case when s.certain then null else d.uncertain_at end,
    last_error_code = case when s.outcome is null then d.last_error_code else s.code end,
    last_error = case when s.outcome is null then d.last_error else left(s.error, 500) end,
    owner = null, fence = 0, lease_until = null
  from s
  where d.id = any (array(select id from locked)) and d.id = s.id and d.fence = s.fence and d.owner = %(owner)s
  returning d.id, d.claimed_at, s.fence, s.version, s.round, s.number, s.outcome, s.code, s.error, s.http_status),
a as (
  insert into outbox.attempt (delivery_id, fence, round, number, version, worker, started_at, finished_at, outcome, error_code, error, http_status)
  select id, fence, round, number, version, %(owner)s, claimed_at, clock_timestamp(), outcome, code, left(error, 500), http_status
  from u where outcome is not null)
select id from u

-- name: hold_reservation
insert into outbox.reservation as r (booking_id, pms, reservation_id, mode, fingerprint, parts, reservations)
select s.booking_id, s.pms, s.reservation_id, s.mode, s.fingerprint, s.parts, case when s.mode = 'live' then 1 else 0 end
from unnest(%(booking_ids)s::uuid[], %(pms)s::text[], %(reservation_ids)s::text[], %(modes)s::text[], %(fingerprints)s::text[], %(parts)s::jsonb[])
  as s (booking_id, pms, reservation_id, mode, fingerprint, parts)
on conflict (booking_id, pms) do update set
  reservations = r.reservations + case when excluded.mode = 'live' and r.reservation_id is distinct from excluded.reservation_id then 1 else 0 end,
  reservation_id = excluded.reservation_id, mode = excluded.mode, fingerprint = excluded.fingerprint, parts = excluded.parts, updated_at = now()

-- name: delivery_by_id
select d.id, d.destination, d.key, d.requested, d.delivered, d.due_at, d.failed_at, d.discarded_at, d.uncertain_at, d.attempts,
       d.lease_until, d.last_error_code, d.last_error, now() as now
from outbox.delivery d where d.id = %(id)s

-- name: delivery_id_by_key
select d.id from outbox.delivery d where d.destination = %(destination)s and d.key = %(key)s

-- name: beat
insert into outbox.worker as w (id, host, pid, version, pms, sync_enabled, test_mode, listening, in_flight)
values (%(id)s, %(host)s, %(pid)s, %(version)s, %(pms)s, %(sync_enabled)s, %(test_mode)s, %(listening)s, %(in_flight)s)
on conflict (id) do update set
  seen_at = now(), listening = excluded.listening, in_flight = excluded.in_flight, stopped_at = null

-- name: beat_last
update outbox.worker set seen_at = now(), stopped_at = now(), in_flight = 0 where id = %(id)s

-- name: listen
listen outbox

-- name: notify_probe
select pg_notify('outbox', %(payload)s::text)

-- name: session_process
select a.pid, clock_timestamp() - a.backend_start < interval '15 seconds' as young
from pg_stat_get_activity(pg_backend_pid()) a
