-- What stands behind the gates; the gates themselves are read by gate.sql.

-- name: last_successes
-- No index serves it: the table is read once for each destination. Only a real hand-over is a success; what was settled
-- without one (nothing to do, test mode, not set up) is none. Attempts that were pruned are taken as real. Only the newest
-- thousand are judged, as each of them is looked up.
select g.destination, max(case when t.settled = 0 then d.delivered_at else t.held_at end) as last_success_at,
       coalesce(bool_or(t.unset), false) as unset
from outbox.destination g
cross join lateral (
  select n.id, n.delivered_at from outbox.delivery n
  where n.destination = g.destination and n.delivered_at is not null order by n.delivered_at desc limit 1000) d
cross join lateral (
  select count(*) as settled, max(a.finished_at) filter (where a.outcome = 'held') as held_at, bool_or(a.outcome = 'not_configured') as unset
  from outbox.attempt a
  where a.delivery_id = d.id and a.outcome in ('held', 'nothing', 'test', 'not_configured')) t
group by g.destination
