drop function outbox.cleaning_fees(uuid[]);
