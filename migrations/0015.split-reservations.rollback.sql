alter table outbox.reservation drop column parts;
