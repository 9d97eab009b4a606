-- depends: 0009.create-request-functions
-- The function of the optional trigger on public.bookings; the trigger itself is made by `outbox migrate --with-booking-trigger`.
-- Locks: none on any table of the site. Duration: milliseconds.
create function outbox.booking_changed() returns trigger
  language plpgsql volatile security definer set search_path = '' as $$
begin
  -- our own processes set it locally: what they write they have requested themselves
  if coalesce(pg_catalog.current_setting('outbox.origin', true), '') <> '' then
    return null;
  end if;
  -- unpaid bookings are nobody's business yet, unless the PMS was asked to hold one all the same
  if coalesce(old.payment_status in ('completed', 'refunded'), false) or coalesce(new.payment_status in ('completed', 'refunded'), false)
     or exists (select from outbox.delivery d where d.destination = 'guestly' and d.key = new.id::text) then
    perform outbox.request_sync(new.id, 'database', 'trigger');
  end if;
  return null;
exception
  -- the server asks for the whole transaction again (REPEATABLE READ, a deadlock): swallowing it would lose the request
  when transaction_rollback then
    raise;
  when others then
    raise warning 'booking-outbox: a change of booking % was not requested (SQLSTATE %)', new.id, sqlstate
      using hint = pg_catalog.format('Request it by hand: outbox requeue %s', new.id);
    return null;
end
$$;
comment on function outbox.booking_changed() is 'Trigger function: requests a sync of the booking that was changed. A fault of ours never makes the site''s own UPDATE fail.';
