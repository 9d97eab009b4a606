-- Statements of the harness.

-- name: insert_property
insert into public.properties (slug, name) values (%(slug)s, %(slug)s)

-- name: insert_listing
insert into outbox.listing (pms, slug, listing_id) values (%(pms)s, %(slug)s, %(listing_id)s)

-- name: insert_booking
insert into public.bookings (id, booking_reference, property_id, guest_first_name, guest_last_name, guest_email,
  guest_phone, check_in_date, check_out_date, adults, total, stripe_payment_intent_id)
select %(id)s, %(reference)s, p.id, %(first_name)s, %(last_name)s, %(email)s, %(phone)s, %(check_in)s, %(check_out)s,
  2, %(total)s, %(intent_id)s
from public.properties p where p.slug = %(slug)s
on conflict (id) do nothing

-- name: edit_booking
update public.bookings set check_out_date = %(check_out)s, special_requests = %(wish)s
where id = %(id)s and status = 'confirmed'

-- name: cancel_booking
update public.bookings set status = 'cancelled', cancelled_at = now()
where id = %(id)s and status <> 'cancelled' and (status = 'confirmed' or not %(confirmed_first)s)

-- name: confirm_booking
update public.bookings set status = 'confirmed', payment_status = 'completed', confirmed_at = now() where id = %(id)s

-- name: request_sync
select outbox.request_sync(%(id)s, 'database', 'site')

-- name: paid_bookings
select id from public.bookings where id = any (%(ids)s::uuid[]) and status <> 'pending'

-- name: terminate_backends
select pg_terminate_backend(a.pid) from (
  select pid from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and application_name not like 'chaos %%'
    and backend_type = 'client backend'
  order by pid offset %(pick)s %% greatest(1, (
    select count(*) from pg_stat_activity where application_name not like 'chaos %%' and backend_type = 'client backend')) limit 3) as a

-- name: new_day
-- Requests for tokens, and the pauses after them, are a day old; while somebody makes one its record is left alone.
update outbox.destination g set
  circuit_until = case when g.circuit = 'open' and g.circuit_code = 'token_unavailable' then least(g.circuit_until, now()) else g.circuit_until end,
  auth_not_before = g.auth_not_before - interval '25 hours', auth_requests = array(
  select r.at - interval '25 hours' from unnest(g.auth_requests) with ordinality as r (at, n) order by r.n)
where g.destination = 'guestly' and pg_try_advisory_xact_lock(hashtextextended('outbox.token guestly', 0)) returning g.token_serial

-- name: token_that_may_end
select token_serial from outbox.destination where destination = 'guestly' and token_refused_at is null
  and clock_timestamp() between token_since + (token_expires_at - token_since) / %(young)s + interval '0.5 s' and token_expires_at

-- name: waits_for_a_person
-- Or for minutes: wrong access, and an access token after two requests in a row that failed.
select destination from outbox.destination
where destination = 'guestly'
  and (circuit <> 'closed' and circuit_cause = 'misconfigured'
       or circuit <> 'closed' and circuit_code = 'token_unavailable' and circuit_until > clock_timestamp() + interval '10 s'
       or auth_not_before > clock_timestamp() + interval '10 s')

-- name: tokens
select * from chaos.token order by n

-- name: token_charges
select count(*) as n from chaos.token_charge

-- name: owed
select d.id, d.destination, d.key, d.failed_at is not null and d.due_at is null as parked
from outbox.delivery d
where d.destination in ('guestly', 'inbox') and d.delivered < d.requested

-- name: texts_without_guests
-- Where guest data may not be; the bodies of events and the site's own columns may hold it.
select 'outbox.delivery ' || d.id as place, d.last_error as text from outbox.delivery d where d.last_error is not null
union all
select 'outbox.attempt ' || a.delivery_id, a.error from outbox.attempt a where a.error is not null
union all
select 'outbox.alert ' || a.id, a.facts::text || a.fingerprint from outbox.alert a
union all
select 'outbox.inbox_event ' || e.id, e.detail from outbox.inbox_event e where e.detail is not null
union all
select 'bookings.guestly_sync_error ' || b.id, b.guestly_sync_error from public.bookings b where b.guestly_sync_error is not null
union all
select 'outbox.request ' || r.delivery_id, r.reference from outbox.request r where r.reference is not null

-- name: takeovers
-- Seconds from the end of a lost lease to the claim that took over, where no open circuit kept everybody from claiming.
with shut as (
  select k.destination, tstzrange(k.at, lead(k.at) over (partition by k.destination order by k.n)) as during, k.state
  from chaos.circuit k)
select extract(epoch from c.at - c.previous_until)::float8 as seconds
from chaos.claim c join outbox.delivery d on d.id = c.delivery_id
where c.previous_owner is not null
  and not exists (select from shut s where s.destination = d.destination and s.state <> 'closed'
                  and s.during && tstzrange(c.previous_until, greatest(c.previous_until, c.at), '[]'))

-- name: recoveries
-- Seconds from a booking's first attempt that went wrong to the next one that brought it home.
select extract(epoch from good.finished_at - bad.started_at)::float8 as seconds
from (select a.delivery_id, min(a.started_at) as started_at from outbox.attempt a
        join outbox.delivery d on d.id = a.delivery_id and d.destination = 'guestly'
      where a.outcome in ('lost', 'failed', 'ambiguous') group by a.delivery_id) bad
  cross join lateral (select min(a.finished_at) as finished_at from outbox.attempt a
      where a.delivery_id = bad.delivery_id and a.started_at > bad.started_at and a.outcome in ('held', 'nothing')) good
where good.finished_at is not null

-- name: attempts
select case when a.outcome = 'held' and a.http_status is null then 'adopted as wanted, found by look-up'
            when a.error_code = 'adopted' then 'adopted in an older state, found by look-up'
            else 'attempt ' || a.outcome end as what, count(*) as n
from outbox.attempt a join outbox.delivery d on d.id = a.delivery_id
where d.destination = 'guestly' group by 1

-- name: paths
select 'rows given up' as what, count(*) as n from chaos.gave_up
union all
select 'rows given up and healed', count(*) from outbox.alert_delivery x join outbox.delivery d on d.id = x.delivery_id
  where x.healed_at is not null and d.destination = 'guestly'
union all
select 'claims taken over from a lost worker', count(*) from chaos.claim where previous_owner is not null
union all
select 'events that came before their booking', count(*) from outbox.delivery where destination = 'inbox'
union all
select 'paid after cancellation', count(*) from outbox.alert where kind = 'paid_after_cancellation'
union all
select 'alerts', count(*) from outbox.alert
union all
select 'circuits opened', count(*) from chaos.circuit where state = 'open'

-- name: story_of_booking
with b as (select id, booking_reference from public.bookings where booking_reference = %(reference)s),
d as (select d.* from outbox.delivery d join b on d.destination = 'guestly' and d.key = b.id::text)
select s.at, 'booking    ' || s.status || ' until ' || s.check_out as what from chaos.state s join b on s.booking_id = b.id
union all
select q.requested_at, 'request    version ' || q.version || ' (' || q.reason || ')' from outbox.request q join d on q.delivery_id = d.id
union all
select c.at, 'claim      fence ' || c.fence || ' by ' || c.owner || coalesce(', taken over, lease ended ' || c.previous_until, '')
from chaos.claim c join d on c.delivery_id = d.id
union all
select a.finished_at, 'attempt    fence ' || a.fence || ' round ' || a.round || ' number ' || a.number || ': ' || a.outcome
  || coalesce(' ' || a.error_code, '') || ', begun ' || a.started_at
from outbox.attempt a join d on a.delivery_id = d.id
union all
select g.at, 'given up   ' || coalesce(g.code, '') from chaos.gave_up g join d on g.delivery_id = d.id
union all
select x.failed_at, 'alert      ' || x.alert_id || ' names it, healed ' || coalesce(x.healed_at::text, 'never')
from outbox.alert_delivery x join d on x.delivery_id = d.id
union all
select now(), 'row        ' || to_jsonb(d)::text from d

-- name: events
select id from outbox.inbox_event

-- name: claims
select * from chaos.claim order by n

-- name: gave_up
select * from chaos.gave_up order by n

-- name: states
select * from chaos.state order by n

-- name: named
select * from outbox.alert_delivery order by id

-- name: alerts
-- What is wrong with a channel is not told by that channel.
select id from outbox.alert where kind <> 'channel_failing'

-- name: bookings
select * from public.bookings order by booking_reference

-- name: deliveries
select * from outbox.delivery order by id
