select outbox.lock_down()
