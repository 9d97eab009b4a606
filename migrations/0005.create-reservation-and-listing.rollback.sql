drop table outbox.listing;
drop table outbox.reservation;
