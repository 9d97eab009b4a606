-- depends: 0001.create-outbox-schema
-- The site's properties and bookings, where the site has not created them itself; an existing table is left as it is.
-- Locks: none on an existing table. Duration: milliseconds.
--
-- A table created here is closed to Supabase's roles until the site opens it: row level security on, no policy, no grants.
do $$
declare outsider text;
begin
  if pg_catalog.to_regclass('public.properties') is null then
    create table public.properties (
      id        uuid    primary key default gen_random_uuid(),
      slug      text    not null unique,
      name      text    not null,
      is_active boolean not null default true
    );
    alter table public.properties enable row level security;
    revoke all on table public.properties from public;
    for outsider in select rolname from pg_catalog.pg_roles where rolname in ('anon', 'authenticated') loop
      execute pg_catalog.format('revoke all on table public.properties from %I', outsider);
    end loop;
  end if;

  if pg_catalog.to_regclass('public.bookings') is null then
    create table public.bookings (
      id                       uuid        primary key default gen_random_uuid(),
      booking_reference        text        not null unique,
      property_id              uuid,
      guest_first_name         text,
      guest_last_name          text,
      guest_email              text,
      guest_phone              text,
      guest_country            text,
      guest_company            text,
      check_in_date            date,
      check_out_date           date,
      adults                   integer,
      children                 integer,
      infants                  integer,
      nights                   integer,
      base_price               numeric(10,2),
      discount                 numeric(10,2),
      cleaning_fee             numeric(10,2),
      pet_fee                  numeric(10,2),
      subtotal                 numeric(10,2),
      vat                      numeric(10,2),
      total                    numeric(10,2),
      special_requests         text,
      purpose_of_stay          text,
      has_pet                  boolean     default false,
      early_checkin            boolean     default false,
      late_checkout            boolean     default false,
      payment_status           text        not null default 'pending'
        check (payment_status in ('pending', 'processing', 'completed', 'failed', 'refunded')),
      payment_method           text,
      stripe_payment_intent_id text,
      stripe_charge_id         text,
      status                   text        not null default 'pending'
        check (status in ('pending', 'confirmed', 'cancelled', 'completed')),
      created_at               timestamptz not null default now(),
      updated_at               timestamptz not null default now(),
      confirmed_at             timestamptz,
      cancelled_at             timestamptz
    );
    alter table public.bookings enable row level security;
    revoke all on table public.bookings from public;
    for outsider in select rolname from pg_catalog.pg_roles where rolname in ('anon', 'authenticated') loop
      execute pg_catalog.format('revoke all on table public.bookings from %I', outsider);
    end loop;
  end if;
end
$$;
