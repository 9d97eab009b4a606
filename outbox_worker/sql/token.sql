-- The fleet's access token. One worker requests it: an advisory lock of a transaction that holds no row, and that Postgres
-- ends when its worker is lost or frozen. What must outlive that transaction is committed in others.

-- name: token_try_lock
select set_config('idle_in_transaction_session_timeout', %(idle)s::text, true),
       pg_try_advisory_xact_lock(hashtextextended('outbox.token ' || %(destination)s::text, 0)) as locked

-- name: token_still_locked
-- Fails if the transaction has ended in between, and begins its idle time anew.
select now() as since

-- name: token_read
select g.access_token, g.token_serial, g.token_since, g.token_expires_at, g.token_refused_at, g.token_forbidden, g.token_credentials,
       g.auth_requests, g.auth_clients, g.auth_credentials, g.auth_failures, g.auth_code, g.auth_not_before, clock_timestamp() as now
from outbox.destination g where g.destination = %(destination)s

-- name: token_read_hidden
-- The same for people: without the token.
select case when g.access_token is not null then '' end as access_token, g.token_serial, g.token_since, g.token_expires_at, g.token_refused_at,
       g.token_forbidden, g.token_credentials, g.auth_requests, g.auth_clients, g.auth_credentials, g.auth_failures, g.auth_code,
       g.auth_not_before, clock_timestamp() as now
from outbox.destination g where g.destination = %(destination)s

-- name: token_charge
-- Before the request leaves, and only if nobody has requested one since the row was read. It reads as a failure until it has ended.
update outbox.destination g set
  auth_requests = array(
    select r.at from unnest(g.auth_requests, g.auth_clients) with ordinality as r (at, client, n)
    where r.at > now() - %(remember)s::interval order by r.n) || now(),
  auth_clients = array(
    select r.client from unnest(g.auth_requests, g.auth_clients) with ordinality as r (at, client, n)
    where r.at > now() - %(remember)s::interval order by r.n) || %(client)s::text,
  auth_credentials = %(credentials)s::text, auth_failures = %(failures)s::integer, auth_code = %(code)s::text,
  auth_not_before = now() + %(pace)s::interval, updated_at = now()
where g.destination = %(destination)s and g.token_serial = %(serial)s::bigint
  and g.auth_requests[cardinality(g.auth_requests)] is not distinct from %(last)s::timestamptz
returning now() as charged_at

-- name: token_store
-- Counted from its request, as it is no younger; of two that were requested, the one that comes later is dropped.
update outbox.destination g set
  access_token = %(value)s::text, token_serial = g.token_serial + 1, token_since = %(charged_at)s::timestamptz,
  token_expires_at = %(charged_at)s::timestamptz + %(life)s::interval, token_refused_at = null, token_forbidden = false,
  token_credentials = %(credentials)s::text,
  auth_credentials = %(credentials)s::text, auth_failures = 0, auth_code = null, auth_not_before = null, updated_at = now()
where g.destination = %(destination)s and g.token_serial = %(serial)s::bigint
returning g.token_serial

-- name: token_not_stored
-- Only while it is the last request; one that has never left is not counted.
update outbox.destination g set
  auth_code = %(code)s::text, auth_not_before = now() + %(pause)s::interval,
  auth_requests = case when %(sent)s::boolean then g.auth_requests else g.auth_requests[:cardinality(g.auth_requests) - 1] end,
  auth_clients = case when %(sent)s::boolean then g.auth_clients else g.auth_clients[:cardinality(g.auth_clients) - 1] end,
  updated_at = now()
where g.destination = %(destination)s and g.token_serial = %(serial)s::bigint
  and g.auth_requests[cardinality(g.auth_requests)] = %(charged_at)s::timestamptz

-- name: token_refuse
update outbox.destination set token_refused_at = now(), updated_at = now()
where destination = %(destination)s and token_serial = %(serial)s::bigint and token_refused_at is null

-- name: token_forbid
update outbox.destination set token_forbidden = true, updated_at = now()
where destination = %(destination)s and token_serial = %(serial)s::bigint and not token_forbidden
