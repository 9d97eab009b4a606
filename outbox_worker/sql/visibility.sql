-- name: blinded_tables
-- Tables of which row level security silently hides rows from the role that asks. A policy that names this very role counts as
-- intended, whatever it says; any other that applies to it counts only if it lets every row through.
with policy as (
  select p.polrelid, p.polpermissive, p.polcmd, r.id = (select u.oid from pg_roles u where u.rolname = current_user) as ours,
         pg_get_expr(p.polqual, p.polrelid) = 'true' as open
  from pg_policy p cross join unnest(p.polroles) as r (id)
  where r.id = 0 or pg_has_role(r.id, 'usage'))
select distinct quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join (values ('select', 'r'::"char"), ('update', 'w')) as access (privilege, command)
where c.relkind in ('r', 'p')
  and (n.nspname = 'outbox' or n.nspname = 'public' and c.relname in ('bookings', 'properties'))
  and has_any_column_privilege(c.oid, access.privilege)
  and row_security_active(c.oid)
  and (
    not exists (
      select from policy p
      where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('*', access.command) and (p.ours or p.open))
    or exists (
      select from policy p
      where p.polrelid = c.oid and not p.polpermissive and p.polcmd in ('*', access.command) and not p.ours and not p.open))
order by 1
