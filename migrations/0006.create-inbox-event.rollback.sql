drop table outbox.inbox_event;
