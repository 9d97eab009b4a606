-- depends: 0012.lock-down
-- One PMS wants the cleaning apart from the rest of the price; a site may be without the column.
-- Locks: none on any table of the site. Duration: milliseconds.
create function outbox.cleaning_fees(booking_ids uuid[]) returns table (booking_id uuid, fee numeric)
language plpgsql stable security definer set search_path = '' as $$
begin
  if exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = pg_catalog.to_regclass('public.bookings') and a.attname = 'cleaning_fee' and a.attnum > 0 and not a.attisdropped)
  then
    return query execute 'select b.id, b.cleaning_fee::numeric from public.bookings b where b.id = any ($1)' using booking_ids;
  end if;
end
$$;
comment on function outbox.cleaning_fees(uuid[]) is 'What of each booking''s total is for cleaning; nothing where the site has no such column.';

do $$ begin perform outbox.lock_down(); end $$;
