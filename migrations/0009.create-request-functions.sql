-- depends: 0003.add-sync-columns 0004.create-delivery
-- Asking for a delivery: by our own processes, by the site in its own transaction, and through PostgREST.
-- Locks: none on any table of the site. Duration: milliseconds.
--
-- SECURITY DEFINER: callers need no right on any table of this schema. Every name is qualified, as the search path is empty.

create function outbox.request(
  p_destination text, p_key text, p_reason text, p_reference text default null, p_traceparent text default null
) returns bigint language sql volatile security definer set search_path = '' as $$
  with d as (
    insert into outbox.delivery as d (destination, key, due_at) values (p_destination, p_key, now())
    on conflict (destination, key) do update set
      -- of the locked row, never of a value that was read before
      requested    = d.requested + 1,
      requested_at = now(),
      -- a back-off or quiet period is kept; a discarded row stays discarded until a person revives it
      due_at       = case when d.discarded_at is null and (d.due_at is null or d.failed_at is not null) then now() else d.due_at end,
      attempts     = case when d.discarded_at is null and d.owner is null and (d.due_at is null or d.failed_at is not null) then 0 else d.attempts end,
      round        = d.round + case when d.discarded_at is null and d.owner is null and (d.due_at is null or d.failed_at is not null) then 1 else 0 end,
      failed_at    = null
    returning d.id, d.requested)
  insert into outbox.request (delivery_id, version, reason, reference, traceparent)
  select d.id, d.requested, p_reason, p_reference, p_traceparent from d
  returning version
$$;
comment on function outbox.request(text, text, text, text, text) is 'Asks for a delivery and returns the version asked for. For our own processes; the site calls request_sync.';

create function outbox.request_sync(
  booking_id uuid, reason text, reference text default null, traceparent text default null
) returns bigint language plpgsql volatile security definer set search_path = '' as $$
#variable_conflict use_variable
declare
  known     constant boolean := coalesce(reason in ('stripe', 'operator', 'redrive', 'database', 'takeover', 'alert'), false);
  version   bigint;
  attempts  integer;
  discarded boolean;
begin
  -- lock order everywhere: bookings, then deliveries
  perform 1 from public.bookings b where b.id = booking_id for no key update;
  if not found then
    if pg_catalog.row_security_active('public.bookings') then
      raise exception using errcode = 'OB403', message = 'row level security hides public.bookings from the owner of outbox.request_sync',
        hint = 'Let a role with BYPASSRLS, or the owner of public.bookings, own schema outbox.';
    end if;
    raise exception using errcode = 'OB404', message = pg_catalog.format('booking %s does not exist', coalesce(booking_id::text, 'null'));
  end if;
  version := outbox.request(
    'guestly', booking_id::text, case when known then reason else 'database' end,
    case when known then reference else nullif(pg_catalog.left(pg_catalog.concat_ws(': ', reason, reference), 200), '') end,
    traceparent);
  select d.attempts, d.discarded_at is not null into strict attempts, discarded
    from outbox.delivery d where d.destination = 'guestly' and d.key = booking_id::text;
  if not discarded then
    update public.bookings b
       set guestly_sync_status = 'pending',
           guestly_sync_attempts = case when attempts = 0 then 0 else b.guestly_sync_attempts end
     where b.id = booking_id
       and (b.guestly_sync_status is distinct from 'pending' or attempts = 0 and b.guestly_sync_attempts is distinct from 0);
  end if;
  return version;
end
$$;
comment on function outbox.request_sync(uuid, text, text, text) is 'The PMS should hold this booking as it is now. Call it in the transaction of the change, or after it. OB404: no such booking.';

create function public.request_booking_sync(booking_id uuid) returns bigint
  language sql volatile security definer set search_path = ''
  as $$ select outbox.request_sync(request_booking_sync.booking_id, 'database', 'rpc') $$;
-- In the migration that creates them, as a new function is everybody's: the lock-down comes later, and a run may stop before it.
do $$
declare outsider text;
begin
  for outsider in
    select 'public' union all
    select pg_catalog.quote_ident(r.rolname) from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated')
  loop
    execute pg_catalog.format('revoke all on function outbox.request(text, text, text, text, text) from %s', outsider);
    execute pg_catalog.format('revoke all on function outbox.request_sync(uuid, text, text, text) from %s', outsider);
    execute pg_catalog.format('revoke all on function public.request_booking_sync(uuid) from %s', outsider);
  end loop;
end
$$;
comment on function public.request_booking_sync(uuid) is 'RPC for service_role alone: the PMS should hold this booking as it is now.';
