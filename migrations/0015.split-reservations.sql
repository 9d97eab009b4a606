-- depends: 0005.create-reservation-and-listing
-- A PMS that takes a reservation in several calls: which parts of it are known to be there.
-- Locks: none on any table of the site. Duration: milliseconds.
alter table outbox.reservation add column parts jsonb not null default '{}' check (jsonb_typeof(parts) = 'object');
comment on column outbox.reservation.parts is 'Part by part what is known to be there: the adapter''s name of a part to the hash of its state. Empty: written as a whole.';
