-- Incidents as operators see them, and the trial alert.

-- name: list_alerts
-- The newest first, in the order of the primary key; the open ones come from their partial index.
-- What each channel has told, and what keeps it from telling, stands beside it: an alert that nobody hears of is none.
select a.id, a.kind, a.fingerprint, a.booking_id, b.booking_reference, a.facts ->> 'code' as code, a.count, a.first_seen_at, a.last_seen_at,
       a.resolved_at, n.total, n.standing, m.names, c.channels, now() as now
from outbox.alert a
left join public.bookings b on b.id = a.booking_id
cross join lateral (
  select count(distinct x.delivery_id) as total, count(distinct x.delivery_id) filter (where x.healed_at is null) as standing
  from outbox.alert_delivery x where x.alert_id = a.id) n
cross join lateral (
  select array(
    select coalesce(nb.booking_reference, d.key)
    from (select y.delivery_id, bool_or(y.healed_at is null) as standing, min(y.id) as place
          from outbox.alert_delivery y where y.alert_id = a.id group by y.delivery_id
          order by 2 desc, 3 limit %(names)s) y
    join outbox.delivery d on d.id = y.delivery_id
    left join public.bookings nb on nb.id = case
      when d.destination = 'guestly' and d.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then d.key::uuid end
    order by y.standing desc, y.place) as names) m
cross join lateral (
  select coalesce(jsonb_agg(jsonb_build_object(
           'channel', d.destination, 'messages', coalesce(t.messages, 0), 'told_at', t.told_at, 'owed', d.delivered < d.requested,
           'code', d.last_error_code, 'outcome', p.outcome) order by d.destination desc), '[]') as channels
  from outbox.delivery d
  left join outbox.alert_told t on t.alert_id = a.id and t.channel = d.destination
  left join lateral (
    select q.outcome from outbox.attempt q where q.delivery_id = d.id order by q.started_at desc, q.fence desc limit 1) p on true
  where d.destination = any ('{email,chat}') and d.key = a.id::text) c
where (%(all)s::boolean or a.resolved_at is null)
  and (%(after_id)s::bigint is null or a.id < %(after_id)s::bigint)
order by a.id desc
limit %(limit)s

-- name: count_alerts
-- So many are counted at most.
select count(*) as n from (
  select from outbox.alert a
  where (%(all)s::boolean or a.resolved_at is null) and (%(after_id)s::bigint is null or a.id < %(after_id)s::bigint)
  limit %(limit)s) x

-- name: open_test_alerts
select a.id from outbox.alert a where a.kind = 'test' and a.resolved_at is null order by a.id

-- name: alert_channel_progress
select d.destination, d.delivered < d.requested as owed, d.last_error_code, d.last_error, coalesce(t.messages, 0) as messages, p.outcome
from outbox.delivery d
left join outbox.alert_told t on t.alert_id = %(id)s::bigint and t.channel = d.destination
left join lateral (
  select q.outcome from outbox.attempt q where q.delivery_id = d.id order by q.started_at desc, q.fence desc limit 1) p on true
where d.destination = any ('{email,chat}') and d.key = %(id)s::bigint::text
order by d.destination desc
