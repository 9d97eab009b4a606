"""The receiver: rules of the one transaction per event, and of its answer."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

INBOX_PY = "outbox_worker/payments/inbox.py"
INBOX_SQL = "outbox_worker/sql/inbox.sql"
APP_PY = "webhook_receiver/app.py"
ANSWERS = "tests/integration/test_receiver_answers.py"
TOGETHER = "tests/integration/test_receiver_together.py"
RULES = "tests/integration/test_engine_rules_receiver.py"

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
        old="            async with conn.transaction():\n"
        "                await store.begin(conn, origin=origin, within=within)\n"
        "                yield\n",
        new="            await store.begin(conn, origin=origin, within=within)\n"
        "            yield\n",
        seen_by=at(RULES, "test_an_event_that_could_not_be_applied_now_is_not_kept"),
    ),
    Mutant(
        rule="a payment is undone when its sync cannot be requested",
        file=INBOX_PY,
        old="            await request_sync(conn, verdict.booking_id, reason=Reason.STRIPE,"
        " reference=event.id)\n",
        new="            import contextlib\n"
        "            with contextlib.suppress(psycopg.Error):\n"
        "                async with conn.transaction():\n"
        "                    await request_sync(conn, verdict.booking_id,"
        " reason=Reason.STRIPE, reference=event.id)\n",
        seen_by=at(RULES, "test_a_payment_whose_sync_cannot_be_requested_confirms_nothing"),
    ),
    Mutant(
        rule="an event that fails is kept and owed to ourselves",
        file=INBOX_PY,
        old="        if verdict.outcome in REDRIVEN:\n            await request(",
        new="        if False:\n            await request(",
        seen_by=at(RULES, "test_a_payment_whose_sync_cannot_be_requested_confirms_nothing"),
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
        seen_by=at(RULES, "test_the_workers_are_woken_by_an_event_that_is_due"),
    ),
    Mutant(
        rule="no notification is part of the transaction",
        file=INBOX_PY,
        old="        await store.decide(conn, event.id, verdict)\n",
        new="        await store.decide(conn, event.id, verdict)\n        await notify(conn)\n",
        seen_by=at(RULES, "test_no_notification_is_part_of_the_transaction_of_an_event"),
    ),
)
