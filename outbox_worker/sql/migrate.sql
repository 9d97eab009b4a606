-- Questions that `outbox migrate` asks. What it changes stands in migrations/.

-- name: migration_try_lock
-- A session lock, polled: waiting inside pg_advisory_lock holds a snapshot, on which CREATE INDEX CONCURRENTLY waits for ever.
select pg_try_advisory_lock(%(key)s) as locked

-- name: migration_unlock
select pg_advisory_unlock(%(key)s)

-- name: migration_state
select to_regnamespace('outbox') is not null as has_schema,
       to_regclass('outbox.yoyo_lock') is not null as has_lock_table,
       to_regclass('outbox._yoyo_migration') is not null as has_history,
       to_regprocedure('outbox.lock_down()') is not null as has_lock_down,
       to_regclass('public.bookings') is not null as has_bookings,
       exists (
         select from pg_trigger g
         where g.tgrelid = to_regclass('public.bookings') and g.tgname = 'outbox_booking_changed') as has_booking_trigger

-- name: migration_applied
select migration_id as id from outbox._yoyo_migration order by applied_at_utc, migration_id

-- name: migration_session
select set_config('lock_timeout', %(lock_timeout)s, false), set_config('statement_timeout', '0', false), set_config('client_min_messages', 'warning', false)

-- name: missing_site_columns
-- Each with the type that does; docs/reference/schema.md says what each is for.
select w.relation || '.' || w.name || ' ' || w.type as name
from (values
  ('properties', 'id', 'uuid'), ('properties', 'slug', 'text'), ('properties', 'name', 'text'),
  ('properties', 'is_active', 'boolean'), ('bookings', 'id', 'uuid'), ('bookings', 'booking_reference', 'text'),
  ('bookings', 'property_id', 'uuid'), ('bookings', 'guest_first_name', 'text'), ('bookings', 'guest_last_name', 'text'),
  ('bookings', 'guest_email', 'text'), ('bookings', 'guest_phone', 'text'), ('bookings', 'guest_country', 'text'),
  ('bookings', 'guest_company', 'text'), ('bookings', 'check_in_date', 'date'), ('bookings', 'check_out_date', 'date'),
  ('bookings', 'adults', 'integer'), ('bookings', 'children', 'integer'), ('bookings', 'infants', 'integer'),
  ('bookings', 'total', 'numeric'), ('bookings', 'special_requests', 'text'), ('bookings', 'purpose_of_stay', 'text'),
  ('bookings', 'has_pet', 'boolean'), ('bookings', 'early_checkin', 'boolean'), ('bookings', 'late_checkout', 'boolean'),
  ('bookings', 'payment_status', 'text'), ('bookings', 'stripe_payment_intent_id', 'text'),
  ('bookings', 'stripe_charge_id', 'text'), ('bookings', 'status', 'text'), ('bookings', 'created_at', 'timestamptz'),
  ('bookings', 'confirmed_at', 'timestamptz'), ('bookings', 'cancelled_at', 'timestamptz')) as w (relation, name, type)
where to_regclass('public.' || w.relation) is not null
  and not exists (
    select from pg_attribute a
    where a.attrelid = to_regclass('public.' || w.relation) and a.attname = w.name and a.attnum > 0 and not a.attisdropped)
order by w.relation desc, w.name

-- name: payment_intent_index
-- Any valid unique index on the column alone will do, whoever made it, if it leaves out no more than null and empty texts.
with candidate as (
  select i.indisvalid as valid, c.relname = 'idx_bookings_payment_intent_once' as ours
  from pg_index i join pg_class c on c.oid = i.indexrelid
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
  where i.indrelid = to_regclass('public.bookings') and i.indisunique and i.indnkeyatts = 1 and a.attname = 'stripe_payment_intent_id'
    and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) in (
      '(stripe_payment_intent_id IS NOT NULL)', '(stripe_payment_intent_id <> ''''::text)')))
select exists (select from candidate where valid) as present,
       exists (select from candidate where not valid and ours) as leftover,
       exists (
         select from pg_attribute a
         where a.attrelid = to_regclass('public.bookings') and a.attname = 'stripe_payment_intent_id' and not a.attisdropped) as has_column

-- name: sync_column_indexes
-- By their names, as the site may have made them itself; an invalid one is what a build that broke off has left behind.
select w.name, c.oid is not null as present, i.indisvalid is false as leftover
from unnest(%(names)s::text[]) with ordinality as w (name, place)
  left join pg_class c on c.relname = w.name and c.relnamespace = 'public'::regnamespace
  left join pg_index i on i.indexrelid = c.oid
order by w.place

-- name: repeated_payment_intents
select count(*) as intents
from (
  select b.stripe_payment_intent_id from public.bookings b
  where b.stripe_payment_intent_id <> '' group by 1 having count(*) > 1) as repeated

-- name: repeated_reservations
select count(*) as reservations
from (
  select r.pms, r.reservation_id from outbox.reservation r
  where r.mode = 'live' group by 1, 2 having count(*) > 1) as repeated

-- name: exposed_objects
-- What the site's roles can still reach, because somebody else granted it or because a role inherits it.
with outsider as (
  select 'public' as name union all
  select r.rolname from pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')),
object as (
  select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name, o.name as outsider
  from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join outsider o
  where n.nspname = 'outbox' and (
    c.relkind in ('r', 'p', 'v', 'm', 'f') and has_table_privilege(o.name, c.oid, 'select, insert, update, delete, truncate, references, trigger')
    or c.relkind = 'S' and has_sequence_privilege(o.name, c.oid, 'usage, select, update'))
  union all
  select p.oid::regprocedure::text, o.name
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace cross join outsider o
  where (n.nspname = 'outbox' or n.nspname = 'public' and p.proname = 'request_booking_sync')
    and has_function_privilege(o.name, p.oid, 'execute')
    and not (o.name = 'service_role' and p.proname in ('request_sync', 'request_booking_sync')))
select outsider || ' on ' || name as name from object order by 1
