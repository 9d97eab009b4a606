-- Rights for the worker, the receiver and the operators' commands, as a role of their own instead of the owner's.
--
-- Run it after `outbox migrate`, and again after each later one, as the owner of schema outbox and of public.bookings:
--   psql "$DATABASE_LISTEN_URL" -v ON_ERROR_STOP=1 -1 -f deploy/grants.sql
-- then give the role a password (in psql: \password outbox_app) and name it in DATABASE_URL. It may be run any number of times.
-- `outbox migrate` itself goes on as the owner. A role that may not create roles has somebody else create outbox_app first.
--
-- Row level security: the role gets a policy on each table that it uses, since a table with row security and no policy is empty
-- for it, silently. The alternative is `alter role outbox_app bypassrls`, which a superuser has to do and which says more than is needed.
-- To take it all back: drop owned by outbox_app; drop role outbox_app.

do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'outbox_app') then
    create role outbox_app login;
  end if;
end
$$;

grant usage on schema outbox, public to outbox_app;

-- What the engine changes.
grant select, insert, update on
  outbox.delivery, outbox.reservation, outbox.listing, outbox.inbox_event, outbox.destination, outbox.alert, outbox.alert_delivery, outbox.alert_told,
  outbox.worker
  to outbox_app;
-- History is appended to and read.
grant select, insert on outbox.request, outbox.attempt, outbox.operator_action to outbox_app;
-- What `outbox prune` and `outbox listings` may remove: never a reservation, never what an operator did.
grant delete on
  outbox.delivery, outbox.request, outbox.attempt, outbox.inbox_event, outbox.alert, outbox.alert_delivery, outbox.listing, outbox.worker
  to outbox_app;
grant usage, select on sequence outbox.fence_seq to outbox_app;
grant execute on function
  outbox.request(text, text, text, text, text), outbox.request_sync(uuid, text, text, text), outbox.cleaning_fees(uuid[])
  to outbox_app;

-- The site's tables: what a reservation is made of, and the columns that payments and the synchronisation change.
grant select (id, slug, name, is_active) on public.properties to outbox_app;
grant select (
  id, booking_reference, property_id, guest_first_name, guest_last_name, guest_email, guest_phone, guest_country, guest_company,
  check_in_date, check_out_date, adults, children, infants, total, special_requests, purpose_of_stay, has_pet, early_checkin,
  late_checkout, payment_status, stripe_payment_intent_id, stripe_charge_id, status, created_at, updated_at, confirmed_at,
  cancelled_at, guestly_reservation_id, guestly_sync_status, guestly_sync_error, guestly_synced_at, guestly_sync_attempts)
  on public.bookings to outbox_app;
grant update (
  payment_status, stripe_payment_intent_id, stripe_charge_id, status, updated_at, confirmed_at, cancelled_at,
  guestly_reservation_id, guestly_sync_status, guestly_sync_error, guestly_synced_at, guestly_sync_attempts)
  on public.bookings to outbox_app;

do $$
declare relation text;
begin
  for relation in
    select pg_catalog.format('%I.%I', n.nspname, c.relname)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'outbox' and c.relkind in ('r', 'p') and c.relname !~ 'yoyo'
  loop
    execute pg_catalog.format('drop policy if exists outbox_app on %s', relation);
    execute pg_catalog.format('create policy outbox_app on %s for all to outbox_app using (true) with check (true)', relation);
  end loop;
end
$$;
drop policy if exists outbox_app on public.properties;
create policy outbox_app on public.properties for select to outbox_app using (true);
drop policy if exists outbox_app_reads on public.bookings;
create policy outbox_app_reads on public.bookings for select to outbox_app using (true);
drop policy if exists outbox_app_updates on public.bookings;
create policy outbox_app_updates on public.bookings for update to outbox_app using (true) with check (true);
