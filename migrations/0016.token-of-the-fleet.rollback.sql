alter table outbox.destination drop constraint destination_auth_clients;
alter table outbox.destination drop constraint destination_token_times;
update outbox.destination set access_token = null, token_expires_at = null, auth_requests = '{}';
alter table outbox.destination
  drop column token_serial, drop column token_since, drop column token_refused_at, drop column token_forbidden, drop column token_credentials,
  drop column auth_clients, drop column auth_credentials, drop column auth_failures, drop column auth_code, drop column auth_not_before;
comment on column outbox.destination.access_token is null;
comment on column outbox.destination.auth_requests is null;
