drop table outbox.attempt;
drop table outbox.request;
drop table outbox.delivery;
