drop table outbox.alert_delivery;
drop table outbox.alert;
