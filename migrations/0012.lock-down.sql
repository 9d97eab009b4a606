-- depends: 0006.create-inbox-event 0007.create-alert 0008.create-operations 0010.create-booking-trigger-function 0011.take-over-bookings
-- Nobody but the owner, and the roles of deploy/grants.sql, reaches anything here, whatever the default privileges of the project say.
-- Locks: ACCESS EXCLUSIVE on our own tables for milliseconds; none on any table of the site.
--
-- Every run of `outbox migrate` calls it again: a role created later, or a grant on "all tables", is dealt with then.
create function outbox.lock_down() returns void language plpgsql volatile set search_path = '' as $$
declare
  outsider text;
  relation text;
begin
  for outsider in
    select 'public' union all
    select pg_catalog.quote_ident(r.rolname) from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')
  loop
    execute pg_catalog.format('revoke all on schema outbox from %s', outsider);
    execute pg_catalog.format('revoke all on all tables in schema outbox from %s', outsider);
    execute pg_catalog.format('revoke all on all sequences in schema outbox from %s', outsider);
    execute pg_catalog.format('revoke all on all routines in schema outbox from %s', outsider);
    execute pg_catalog.format('revoke all on function public.request_booking_sync(uuid) from %s', outsider);
  end loop;
  -- the second wall: without a policy a table is empty for everybody but its owner
  for relation in
    select pg_catalog.format('%I.%I', n.nspname, c.relname)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'outbox' and c.relkind in ('r', 'p') and not c.relrowsecurity
  loop
    execute pg_catalog.format('alter table %s enable row level security', relation);
  end loop;
  if exists (select from pg_catalog.pg_roles r where r.rolname = 'service_role') then
    grant usage on schema outbox to service_role;
    grant execute on function outbox.request_sync(uuid, text, text, text), public.request_booking_sync(uuid) to service_role;
  end if;
end
$$;
comment on function outbox.lock_down() is 'Revokes everything of ours from public, anon, authenticated and service_role, but for the two functions that service_role may call.';

do $$ begin perform outbox.lock_down(); end $$;
