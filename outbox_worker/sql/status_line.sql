-- The worker's line in `systemctl status`: asked every few seconds beside the claims, so bounded whatever is owed and however long the table.

-- name: status_line
-- In the order of an index, or the planner may read the table from its beginning for want of unfinished rows.
-- "Last sync" looks at the newest deliveries alone: no index serves delivered_at, and none should for this.
select o.sending, o.waiting, o.retrying, f.failed, s.synced_ago
from (
  select count(*) filter (where x.sending) as sending,
         count(*) filter (where not x.sending and not x.tried) as waiting,
         count(*) filter (where not x.sending and x.tried) as retrying
  from (select coalesce(d.lease_until > now(), false) as sending, d.attempts > 0 or d.uncertain_at is not null as tried
        from outbox.delivery d where d.due_at is not null and d.failed_at is null
        order by d.destination, d.due_at limit %(limit)s::bigint) x) o
cross join (
  select count(*) as failed
  from (select from outbox.delivery d where d.failed_at is not null order by d.destination, d.failed_at limit %(limit)s::bigint) x) f
cross join (
  -- greatest() alone would make nothing into zero
  select case when count(d.delivered_at) > 0 then greatest(now() - max(d.delivered_at), interval '0') end as synced_ago
  from outbox.delivery d
  where d.id > (select max(y.id) from outbox.delivery y) - %(limit)s::bigint and d.destination = 'guestly') s
