-- What stands behind the gates; the gates themselves are read by gate.sql.

-- name: last_successes
-- No index serves it: the table is read once. Only a real hand-over is a success; what was settled
-- without one (nothing to do, test mode, not set up) is none. Attempts that were pruned are taken as real.
select d.destination, max(case when t.settled = 0 then d.delivered_at else t.held_at end) as last_success_at,
       coalesce(bool_or(t.unset), false) as unset
from outbox.delivery d
cross join lateral (
  select count(*) as settled, max(a.finished_at) filter (where a.outcome = 'held') as held_at, bool_or(a.outcome = 'not_configured') as unset
  from outbox.attempt a
  where a.delivery_id = d.id and a.outcome in ('held', 'nothing', 'test', 'not_configured')) t
where d.delivered_at is not null
group by d.destination
