create schema if not exists outbox
