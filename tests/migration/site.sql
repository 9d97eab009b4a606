-- A Supabase project with the site's tables, as its owner (no superuser) would have made them.
-- Run as that owner, who owns the database, too; the roles exist.
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
-- worse than Supabase: in every schema that this role ever makes
alter default privileges grant all on schemas to anon, authenticated, service_role;
alter default privileges grant all on tables to anon, authenticated, service_role;
alter default privileges grant all on functions to anon, authenticated, service_role;
alter default privileges grant all on sequences to anon, authenticated, service_role;

create table public.properties (
  id uuid primary key default gen_random_uuid(), slug text not null unique, name text not null, is_active boolean default true);

create table public.bookings (
  id uuid primary key default gen_random_uuid(),
  booking_reference text unique,
  property_id uuid references public.properties (id),
  user_id uuid,
  guest_first_name text, guest_last_name text, guest_email text, guest_phone text, guest_country text, guest_company text,
  check_in_date date, check_out_date date, adults int, children int, infants int, nights int,
  base_price numeric(10,2), discount numeric(10,2), cleaning_fee numeric(10,2), pet_fee numeric(10,2),
  subtotal numeric(10,2), vat numeric(10,2), total numeric(10,2),
  special_requests text, purpose_of_stay text, has_pet boolean, early_checkin boolean, late_checkout boolean,
  payment_status text default 'pending' check (payment_status in ('pending', 'processing', 'completed', 'failed', 'refunded')),
  payment_method text, stripe_payment_intent_id text, stripe_charge_id text,
  status text default 'pending' check (status in ('pending', 'confirmed', 'cancelled', 'completed')),
  created_at timestamptz default now(), updated_at timestamptz default now(), confirmed_at timestamptz, cancelled_at timestamptz);

create function public.touch() returns trigger language plpgsql as $$ begin new.updated_at = clock_timestamp(); return new; end $$;
create trigger touch before update on public.bookings for each row execute function public.touch();

alter table public.properties enable row level security;
alter table public.bookings enable row level security;
create policy "anybody reads properties" on public.properties for select using (true);
create policy "anybody books" on public.bookings for insert to anon, authenticated with check (true);
create policy "guests see theirs" on public.bookings for select to authenticated using (user_id::text = current_setting('request.jwt.claim.sub', true));
create policy "guests change theirs" on public.bookings for update to authenticated using (user_id::text = current_setting('request.jwt.claim.sub', true));
