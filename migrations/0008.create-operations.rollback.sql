drop table outbox.operator_action;
drop table outbox.worker;
drop table outbox.destination;
