"""The receiver: rules of the one transaction per event, and of its answer."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

INBOX_PY = "outbox_worker/payments/inbox.py"
INBOX_SQL = "outbox_worker/sql/inbox.sql"
APP_PY = "webhook_receiver/app.py"
ANSWERS = "tests/integration/test_receiver_answers.py"
TOGETHER = "tests/integration/test_receiver_together.py"
RULES = "tests/integration/test_engine_rules_receiver.py"
REFUSED = "tests/integration/test_receiver_notify_faults.py"
WAKEUP = "tests/integration/test_receiver_wakeup.py"

MUTANTS = (
    Mutant(
        rule="an event is applied once however often it comes",
        file=INBOX_SQL,
        old="on conflict (source, id) do nothing\n",
        new="on conflict (source, id) do update set received_at = now()\n",
        seen_by=at(ANSWERS, "test_the_same_event_again_is_answered_alike_and_kept_once"),
    ),
    Mutant(
        rule="an event and what it changes are one transaction",
        file=INBOX_PY,
        old="                verdict = await _apply(conn, event, rules)\n",
        new="                await conn.commit()\n"
        '                await conn.execute("begin")\n'
        "                verdict = await _apply(conn, event, rules)\n",
        seen_by=at(RULES, "test_an_event_that_could_not_be_applied_now_is_not_kept"),
    ),
    Mutant(
        rule="a payment is undone when its sync cannot be requested",
        file=INBOX_PY,
        old="    await store.decide(conn, event.id, verdict, sync=sync)\n",
        new="    import contextlib\n"
        "    with contextlib.suppress(psycopg.Error):\n"
        "        async with conn.transaction():\n"
        "            await store.decide(conn, event.id, verdict, sync=sync)\n"
        "            return verdict\n"
        "    await store.decide(conn, event.id, verdict, sync=False)\n",
        seen_by=at(RULES, "test_a_payment_whose_sync_cannot_be_requested_confirms_nothing"),
    ),
    Mutant(
        rule="an event that fails is kept and owed to ourselves",
        file=INBOX_PY,
        old="    if owed and verdict.outcome in REDRIVEN:\n",
        new="    if False:\n",
        seen_by=at(RULES, "test_a_payment_whose_sync_cannot_be_requested_confirms_nothing"),
    ),
    Mutant(
        rule="an event that cannot be applied is kept all the same",
        file=INBOX_PY,
        old="                verdict, failure = _failed(error), error\n",
        new="                raise\n",
        seen_by=at(RULES, "test_a_payment_that_the_site_refuses_at_the_commit_is_kept_and_owed"),
    ),
    Mutant(
        rule="a transaction with a failed statement is not taken for committed",
        file="outbox_worker/payments/store.py",
        old="        if conn.info.transaction_status is TransactionStatus.INERROR:\n",
        new="        if False:\n",
        seen_by=at(RULES, "test_a_transaction_whose_failure_somebody_swallowed_is_not_committed"),
    ),
    Mutant(
        rule="an event that fails again is not owed once more",
        file=INBOX_PY,
        old="            await _follow(conn, event_id, verdict, rules, owed=False)\n",
        new="            await _follow(conn, event_id, verdict, rules, owed=True)\n",
        seen_by=at(RULES, "test_a_redrive_that_fails_leaves_the_event_owed_once"),
    ),
    Mutant(
        rule="an event that changes no booking leaves their table alone",
        file="outbox_worker/sql/inbox.sql",
        old="-- name: inbox_decide\n",
        new="-- name: inbox_decide\n"
        "with touched as (update public.bookings b set status = b.status where false)\n",
        seen_by=at(RULES, "test_an_event_that_changes_no_booking_meets_none_of_their_triggers"),
    ),
    Mutant(
        rule="an event is acknowledged only after its commit",
        file=APP_PY,
        old="        result = await self._record_in_time(event, body)\n",
        new="        record = asyncio.create_task(self._record(event, body))\n"
        "        self._under_way.add(record)\n"
        '        result = Receipt(outcome=None, detail="", booking_id=None, wake=False)\n',
        seen_by=at(RULES, "test_an_event_is_acknowledged_only_after_its_commit"),
    ),
    Mutant(
        rule="an event that was not recorded makes its sender come back",
        file=APP_PY,
        old="return Response(status_code=503, headers=_RETRY_AFTER)",
        new="return Response(status_code=200)",
        seen_by=at(RULES, "test_an_event_is_acknowledged_only_after_its_commit"),
    ),
    Mutant(
        rule="workers are woken after the commit",
        file=APP_PY,
        old="            self._wakeup.request()\n",
        new="            pass\n",
        seen_by=at(WAKEUP, "test_what_no_commit_may_announce_is_announced_a_little_later"),
    ),
    Mutant(
        rule="whoever says that it woke the workers has done so",
        file="outbox_worker/payments/store.py",
        old="await (commit_and_notify(conn) if notifies else conn.commit())",
        new="await conn.commit()",
        seen_by=at(WAKEUP, "test_a_commit_that_may_notify_announces_itself"),
    ),
    Mutant(
        rule="the notification that goes with a commit is not part of its transaction",
        file="outbox_worker/outbox/store.py",
        old='(query("end_transaction"), query("notify_in_time"))',
        new='(query("notify_in_time"), query("end_transaction"))',
        seen_by=at(WAKEUP, "test_the_notification_of_a_commit_is_not_part_of_its_transaction"),
    ),
    Mutant(
        rule="a notification that is refused after the commit costs the event nothing",
        file=INBOX_PY,
        old="        if verdict is None or not ending.notifies or conn.closed:\n"
        "            raise\n",
        new="        raise\n",
        seen_by=at(
            REFUSED,
            "test_a_notification_that_is_refused_after_the_commit_costs_the_event_nothing[P0001]",
        ),
    ),
    Mutant(
        rule="a commit that was refused is not taken for a notification that was",
        file=INBOX_PY,
        old="        if event.id not in kept or kept[event.id].outcome is not verdict.outcome:\n"
        "            raise\n",
        new="",
        seen_by=at(WAKEUP, "test_a_commit_that_fails_announces_nothing_and_the_event_is_kept"),
    ),
    Mutant(
        rule="no commit waits long for the notifications of others",
        file="outbox_worker/sql/outbox.sql",
        old="set_config('lock_timeout', '100ms', true)",
        new="set_config('lock_timeout', '0', true)",
        seen_by=at(
            REFUSED,
            "test_payments_are_answered_while_another_database_holds_up_all_notifications",
        ),
    ),
    Mutant(
        rule="commits notify no more often than everybody together may",
        file="webhook_receiver/wakeup.py",
        old="        if now < self._due:\n            return False\n",
        new="",
        seen_by=at(WAKEUP, "test_all_who_notify_share_one_pace[True]"),
    ),
    Mutant(
        rule="no notification is part of the transaction",
        file=INBOX_PY,
        old="    await store.decide(conn, event.id, verdict, sync=sync)\n",
        new="    await store.decide(conn, event.id, verdict, sync=sync)\n    await notify(conn)\n",
        seen_by=at(RULES, "test_no_notification_is_part_of_the_transaction_of_an_event"),
    ),
)
