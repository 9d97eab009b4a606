-- Rows for `outbox list`. What is not finished comes from the partial indexes of outbox.delivery, however many
-- finished rows there are; a page of what is finished begins where the page before ended.

-- name: list_unfinished
-- Soonest check-in first: what is most urgent. The words are those of outbox.delivery.State, in the order in which state_of decides.
-- Only the page's rows are sorted to their end: they are counted by a query of its own.
-- A check-in date that Python cannot hold is read as missing, as in bookings.sql.
with candidate as (
  select d.* from outbox.delivery d where d.due_at is not null
  union all
  select d.* from outbox.delivery d where d.failed_at is not null and d.due_at is null
  union all
  select d.* from outbox.delivery d where d.discarded_at is not null),
named as (
  select c.id, c.destination, c.key, c.due_at, c.attempts, c.round, c.last_error_code, c.requested_at, c.claimed_at, c.failed_at, c.discarded_at,
         case when c.lease_until > now()                    then 'sending'
              when c.discarded_at is not null               then 'discarded'
              when c.failed_at is not null                  then case when c.due_at is null then 'rejected' else 'failed' end
              when c.delivered = c.requested                then 'synced'
              when c.destination = any (%(closed)s::text[]) then 'held'
              when c.uncertain_at is not null               then 'checking'
              when c.attempts > 0                           then 'retrying'
              else                                               'waiting' end as state,
         case when c.destination = 'guestly' and c.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then c.key::uuid end as booking_id
  from candidate c
  where c.destination = any (%(destinations)s::text[])
    and (%(code)s::text is null or c.last_error_code = %(code)s::text)),
placed as (
  select n.*, b.booking_reference,
         case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
         case n.state when 'sending' then n.claimed_at when 'discarded' then n.discarded_at
                      when 'failed' then n.failed_at when 'rejected' then n.failed_at else n.requested_at end as since
  from named n left join public.bookings b on b.id = n.booking_id
  where n.state = any (%(states)s::text[]))
select p.id, p.destination, p.key, p.state, p.since, p.due_at, p.attempts, p.round, p.last_error_code, p.booking_reference, p.check_in_date,
       exists (select from outbox.reservation r where r.booking_id = p.booking_id and r.mode = 'test') as tested,
       now() as now
from placed p
where (%(since)s::timestamptz is null or p.since >= %(since)s::timestamptz)
  and (not %(tested)s::boolean or exists (select from outbox.reservation r where r.booking_id = p.booking_id and r.mode = 'test'))
  and (%(after_id)s::bigint is null
       or (coalesce(p.check_in_date, 'infinity'::date), p.id) > (coalesce(%(after_day)s::date, 'infinity'::date), %(after_id)s::bigint))
order by coalesce(p.check_in_date, 'infinity'::date), p.id
limit %(limit)s

-- name: count_unfinished_rows
-- So many are counted at most.
with candidate as (
  select d.* from outbox.delivery d where d.due_at is not null
  union all
  select d.* from outbox.delivery d where d.failed_at is not null and d.due_at is null
  union all
  select d.* from outbox.delivery d where d.discarded_at is not null),
named as (
  select c.id, c.requested_at, c.claimed_at, c.failed_at, c.discarded_at,
         case when c.lease_until > now()                    then 'sending'
              when c.discarded_at is not null               then 'discarded'
              when c.failed_at is not null                  then case when c.due_at is null then 'rejected' else 'failed' end
              when c.delivered = c.requested                then 'synced'
              when c.destination = any (%(closed)s::text[]) then 'held'
              when c.uncertain_at is not null               then 'checking'
              when c.attempts > 0                           then 'retrying'
              else                                               'waiting' end as state,
         case when c.destination = 'guestly' and c.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then c.key::uuid end as booking_id
  from candidate c
  where c.destination = any (%(destinations)s::text[])
    and (%(code)s::text is null or c.last_error_code = %(code)s::text)),
placed as (
  select n.id, n.booking_id,
         case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
         case n.state when 'sending' then n.claimed_at when 'discarded' then n.discarded_at
                      when 'failed' then n.failed_at when 'rejected' then n.failed_at else n.requested_at end as since
  from named n left join public.bookings b on b.id = n.booking_id
  where n.state = any (%(states)s::text[]))
select count(*) as n from (
  select from placed p
  where (%(since)s::timestamptz is null or p.since >= %(since)s::timestamptz)
    and (not %(tested)s::boolean or exists (select from outbox.reservation r where r.booking_id = p.booking_id and r.mode = 'test'))
    and (%(after_id)s::bigint is null
         or (coalesce(p.check_in_date, 'infinity'::date), p.id) > (coalesce(%(after_day)s::date, 'infinity'::date), %(after_id)s::bigint))
  limit %(limit)s) x

-- name: list_synced
-- The newest row first: ids only grow, and their index is the order of the page.
select d.id, d.destination, d.key, 'synced' as state, d.delivered_at as since, d.due_at, d.attempts, d.round, d.last_error_code, b.booking_reference,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
       exists (select from outbox.reservation r where r.booking_id = u.booking_id and r.mode = 'test') as tested, now() as now
from outbox.delivery d
cross join lateral (
  select case when d.destination = 'guestly' and d.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
              then d.key::uuid end as booking_id) u
left join public.bookings b on b.id = u.booking_id
where d.delivered = d.requested and d.discarded_at is null and (d.lease_until is null or d.lease_until <= now())
  and d.destination = any (%(destinations)s::text[])
  and (%(since)s::timestamptz is null or d.delivered_at >= %(since)s::timestamptz)
  and (%(after_id)s::bigint is null or d.id < %(after_id)s::bigint)
order by d.id desc
limit %(limit)s

-- name: count_synced_rows
-- So many are counted at most.
select count(*) as n from (
  select from outbox.delivery d
  where d.delivered = d.requested and d.discarded_at is null and (d.lease_until is null or d.lease_until <= now())
    and d.destination = any (%(destinations)s::text[])
    and (%(since)s::timestamptz is null or d.delivered_at >= %(since)s::timestamptz)
    and (%(after_id)s::bigint is null or d.id < %(after_id)s::bigint)
  limit %(limit)s) x

-- name: list_tested
-- What only test mode has handled and is synced: found by the reservations of that mode, which are few.
select d.id, d.destination, d.key, 'synced' as state, d.delivered_at as since, d.due_at, d.attempts, d.round, d.last_error_code, b.booking_reference,
       case when b.check_in_date between '0001-01-01' and '9999-12-31' then b.check_in_date end as check_in_date,
       true as tested, count(*) over () as total, now() as now
from (select distinct r.booking_id from outbox.reservation r where r.mode = 'test') t
join outbox.delivery d on d.destination = 'guestly' and d.key = t.booking_id::text
left join public.bookings b on b.id = t.booking_id
where d.delivered = d.requested and d.discarded_at is null and (d.lease_until is null or d.lease_until <= now())
  and 'guestly' = any (%(destinations)s::text[])
  and (%(since)s::timestamptz is null or d.delivered_at >= %(since)s::timestamptz)
  and (%(after_id)s::bigint is null or d.id < %(after_id)s::bigint)
order by d.id desc
limit %(limit)s
