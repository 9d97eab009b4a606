-- depends: 0015.split-reservations
-- One access token for all workers: which one it is, whose credentials it belongs to, and how requesting the last one ended.
-- Locks: none on any table of the site. Duration: milliseconds.
alter table outbox.destination
  add column token_serial      bigint      not null default 0,
  add column token_since       timestamptz,
  add column token_refused_at  timestamptz,
  add column token_forbidden   boolean     not null default false,
  add column token_credentials text,
  add column auth_clients      text[]      not null default '{}',
  add column auth_credentials  text,
  add column auth_failures     integer     not null default 0,
  add column auth_code         text,
  add column auth_not_before   timestamptz;

alter table outbox.destination add constraint destination_token_times check (
  access_token is null or (token_since is not null and token_expires_at is not null and token_credentials is not null));
alter table outbox.destination add constraint destination_auth_clients check (cardinality(auth_requests) = cardinality(auth_clients));

comment on column outbox.destination.access_token is 'Secret, shared by all workers; no command shows it.';
comment on column outbox.destination.token_serial is 'Which token it is; each one that is stored has the next number.';
comment on column outbox.destination.token_since is 'When it was requested; it ends at token_expires_at.';
comment on column outbox.destination.token_refused_at is 'The API refused it although it should be good: it is not used any more.';
comment on column outbox.destination.token_forbidden is 'The API refused it when it was new: a missing permission rather than its end.';
comment on column outbox.destination.token_credentials is 'Hash of the address, client id and secret that it was requested with.';
comment on column outbox.destination.auth_requests is 'When tokens were requested lately, written before each request leaves.';
comment on column outbox.destination.auth_clients is 'For each of auth_requests the hash of its address and client id.';
comment on column outbox.destination.auth_credentials is 'Hash of the credentials that the failures were met with; others are not held up by them.';
comment on column outbox.destination.auth_failures is 'Requests in a row without a token.';
comment on column outbox.destination.auth_code is 'How the last one ended; unfinished: it is under way, or its worker was lost.';
comment on column outbox.destination.auth_not_before is 'No token is requested before.';
