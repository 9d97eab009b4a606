-- Workers as operators see them.

-- name: recent_workers
select w.id, w.host, w.pid, w.version, w.pms, w.sync_enabled, w.test_mode, w.listening, w.in_flight, w.started_at, w.stopped_at,
       greatest(now() - w.seen_at, interval '0') as seen_ago
from outbox.worker w
where w.seen_at > now() - %(within)s::interval
order by w.stopped_at is not null, w.seen_at > now() - %(alive)s::interval desc, coalesce(w.stopped_at, w.seen_at) desc, w.id
