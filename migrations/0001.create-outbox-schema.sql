-- The private schema and the source of fencing tokens.
-- Locks: none on any table of the site. Duration: milliseconds.
--
-- Nothing is granted: only the owner of these objects reaches them. A role of its own can be granted access with
-- deploy/grants.sql; PostgREST must never list this schema.
create schema if not exists outbox;

-- Supabase's default privileges hand new schemas to its roles; 0012 does the same for what the schema will hold.
do $$
declare outsider text;
begin
  revoke all on schema outbox from public;
  for outsider in select rolname from pg_catalog.pg_roles where rolname in ('anon', 'authenticated', 'service_role') loop
    execute pg_catalog.format('revoke all on schema outbox from %I', outsider);
  end loop;
end
$$;

comment on schema outbox is 'booking-outbox: deliveries owed to the PMS and their history. Private; never expose it through PostgREST.';

-- Only equality is ever asked of a fence; 0 means "nobody''s".
create sequence outbox.fence_seq as bigint;
