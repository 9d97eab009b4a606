-- depends: 0002.create-site-tables
-- The site's view of the synchronisation on its own bookings, and the function that its existing code calls.
-- Locks: ACCESS EXCLUSIVE on public.bookings until this migration commits. Constant defaults rewrite nothing, but the check
-- constraint reads every row once: reads and writes wait about a quarter of a second per million bookings. Waiting for a lock ends after
-- 10 seconds. The indexes on these columns are built by each run where they are missing, concurrently: see run/.
alter table public.bookings
  add column if not exists guestly_reservation_id text,
  add column if not exists guestly_sync_status    text default 'pending'
    constraint bookings_guestly_sync_status_check check (guestly_sync_status in ('pending', 'synced', 'failed')),
  add column if not exists guestly_sync_error     text,
  add column if not exists guestly_synced_at      timestamptz,
  add column if not exists guestly_sync_attempts  integer default 0;

comment on column public.bookings.guestly_reservation_id is 'Id of the reservation in the PMS; kept while a change is on its way. Written by booking-outbox, never read back.';
comment on column public.bookings.guestly_sync_status is 'pending: owed to the PMS; synced: the PMS holds this booking as it is; failed: given up for now. Written by booking-outbox, never read back.';
comment on column public.bookings.guestly_sync_error is 'Why the last attempt failed; cleared by success. Written by booking-outbox, never read back.';
comment on column public.bookings.guestly_synced_at is 'Time of the last success. Written by booking-outbox, never read back.';
comment on column public.bookings.guestly_sync_attempts is 'Attempts of the current round. Written by booking-outbox, never read back.';

-- A function of that name that the site brought along is the site's: neither its text nor its grants are touched.
do $$
declare grantee text;
begin
  if pg_catalog.to_regprocedure('public.increment_sync_attempts(uuid)') is null then
    create function public.increment_sync_attempts(booking_id uuid) returns void
      language sql volatile set search_path = ''
      as $body$
        update public.bookings b
           set guestly_sync_attempts = coalesce(b.guestly_sync_attempts, 0) + 1
         where b.id = increment_sync_attempts.booking_id
      $body$;
    comment on function public.increment_sync_attempts(uuid) is 'Adds one to guestly_sync_attempts of a booking; null counts as 0.';
    revoke all on function public.increment_sync_attempts(uuid) from public;
    for grantee in select rolname from pg_catalog.pg_roles where rolname in ('anon', 'authenticated') loop
      execute pg_catalog.format('revoke all on function public.increment_sync_attempts(uuid) from %I', grantee);
    end loop;
    if exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
      grant execute on function public.increment_sync_attempts(uuid) to service_role;
    end if;
  end if;
end
$$;
