drop function public.request_booking_sync(uuid);
drop function outbox.request_sync(uuid, text, text, text);
drop function outbox.request(text, text, text, text, text);
