drop function outbox.lock_down();
