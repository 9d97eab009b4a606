-- Property slug to listing id, per PMS.

-- name: list_listings
select coalesce(p.slug, l.slug) as slug, p.slug is not null as known, p.name, p.is_active, l.listing_id, l.title, l.updated_at
from (select s.slug, s.name, s.is_active from public.properties s where s.slug is not null) p
full join (select x.slug, x.listing_id, x.title, x.updated_at from outbox.listing x where x.pms = %(pms)s) l on l.slug = p.slug
order by 1

-- name: set_listings
-- One row for each slug, in the order of the slugs; previous is null for a new one.
with i as (
  select * from unnest(%(slugs)s::text[], %(listing_ids)s::text[]) as i (slug, listing_id)),
old as materialized (
  select l.slug, l.listing_id from outbox.listing l where l.pms = %(pms)s and l.slug = any (%(slugs)s::text[])),
u as (
  insert into outbox.listing as l (pms, slug, listing_id)
  select %(pms)s, i.slug, i.listing_id from i order by i.slug
  on conflict (pms, slug) do update set
    title = case when l.listing_id = excluded.listing_id then l.title end,
    listing_id = excluded.listing_id, updated_at = now()
    where l.listing_id <> excluded.listing_id
  returning l.slug)
select i.slug, i.listing_id, old.listing_id as previous, exists (select from public.properties p where p.slug = i.slug) as known
from i left join old on old.slug = i.slug
order by i.slug

-- name: unblocked_by_listing
-- Bookings that were refused for want of a listing, soonest check-in first.
select b.booking_reference, p.slug
from outbox.delivery d
join public.bookings b on b.id = case
  when d.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then d.key::uuid end
join public.properties p on p.id = b.property_id
where d.destination = 'guestly' and d.failed_at is not null and d.last_error_code = %(code)s and p.slug = any (%(slugs)s::text[])
order by b.check_in_date, b.booking_reference

-- name: set_listing_title
update outbox.listing set title = %(title)s where pms = %(pms)s and slug = %(slug)s and listing_id = %(listing_id)s

-- name: remove_listing
delete from outbox.listing where pms = %(pms)s and slug = %(slug)s
returning listing_id
