-- What the engine forgets on purpose, such as that a row had failed before it was healed. Written by triggers, so that it is
-- committed with what it tells of, or not at all.
create schema chaos;
create table chaos.state (
  n bigint generated always as identity primary key, booking_id uuid not null, status text not null,
  check_in date not null, check_out date not null, total numeric(10,2) not null,
  at timestamptz not null default clock_timestamp());
create table chaos.claim (
  n bigint generated always as identity primary key, delivery_id bigint not null, fence bigint not null,
  owner text not null, at timestamptz not null, previous_owner text, previous_until timestamptz);
create table chaos.gave_up (
  n bigint generated always as identity primary key, delivery_id bigint not null, at timestamptz not null,
  code text);

create function chaos.remember_state() returns trigger language plpgsql as $$
begin
  insert into chaos.state (booking_id, status, check_in, check_out, total)
  values (new.id, new.status, new.check_in_date, new.check_out_date, new.total);
  return null;
end $$;
create trigger chaos_inserted after insert on public.bookings
  for each row execute function chaos.remember_state();
create trigger chaos_changed after update on public.bookings for each row
  when ((old.status, old.check_in_date, old.check_out_date, old.total)
        is distinct from (new.status, new.check_in_date, new.check_out_date, new.total))
  execute function chaos.remember_state();

create function chaos.remember_claim() returns trigger language plpgsql as $$
begin
  insert into chaos.claim (delivery_id, fence, owner, at, previous_owner, previous_until)
  values (new.id, new.fence, new.owner, new.claimed_at, old.owner, old.lease_until);
  return null;
end $$;
create trigger chaos_claimed after update on outbox.delivery for each row
  when (new.fence <> 0 and new.fence <> old.fence) execute function chaos.remember_claim();

create function chaos.remember_failure() returns trigger language plpgsql as $$
begin
  insert into chaos.gave_up (delivery_id, at, code) values (new.id, new.failed_at, new.last_error_code);
  return null;
end $$;
create trigger chaos_gave_up after update on outbox.delivery for each row
  when (old.failed_at is null and new.failed_at is not null) execute function chaos.remember_failure();

create table chaos.circuit (
  n bigint generated always as identity primary key, destination text not null, state text not null,
  at timestamptz not null default clock_timestamp());
create function chaos.remember_circuit() returns trigger language plpgsql as $$
begin
  insert into chaos.circuit (destination, state) values (new.destination, new.circuit);
  return null;
end $$;
create trigger chaos_circuit after update on outbox.destination for each row
  when (old.circuit is distinct from new.circuit) execute function chaos.remember_circuit();

create table chaos.token (
  n bigint generated always as identity primary key, serial bigint not null, since timestamptz not null, until timestamptz not null,
  before_since timestamptz, before_until timestamptz, before_refused boolean not null);
create table chaos.token_charge (
  n bigint generated always as identity primary key, at timestamptz not null default clock_timestamp());
create function chaos.remember_token() returns trigger language plpgsql as $$
begin
  if new.token_serial <> old.token_serial then
    insert into chaos.token (serial, since, until, before_since, before_until, before_refused)
    values (new.token_serial, new.token_since, new.token_expires_at, old.token_since, old.token_expires_at,
            old.token_refused_at is not null);
  end if;
  if new.auth_code = 'unfinished' and new.auth_requests is distinct from old.auth_requests then
    insert into chaos.token_charge default values;
  end if;
  return null;
end $$;
create trigger chaos_token after update on outbox.destination for each row execute function chaos.remember_token();
