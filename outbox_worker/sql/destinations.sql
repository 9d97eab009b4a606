-- What stands behind the gates; the gates themselves are read by gate.sql.

-- name: last_successes
-- No index serves it: the table is read once.
select d.destination, max(d.delivered_at) as last_success_at
from outbox.delivery d
where d.delivered_at is not null
group by d.destination
