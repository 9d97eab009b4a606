"""Wake-up and stop: rules of LISTEN, polling and signals."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

LOOP_PY = "outbox_worker/worker/loop.py"
WAKEUP_PY = "outbox_worker/worker/wakeup.py"
SUPERVISOR_PY = "outbox_worker/worker/supervisor.py"
STOP = "tests/integration/test_engine_stop_and_wakeup.py"
RULES = "tests/integration/test_engine_rules_loop.py"
WAKEUP = "tests/integration/test_engine_rules_wakeup.py"
ISOLATION = "tests/integration/test_engine_isolation.py"
PREPARED = "tests/integration/test_database_prepared.py"
DATABASE_PY = "outbox_worker/database.py"
PROCESS = "tests/acceptance/test_worker_process.py"
PROCESS_STOP = "tests/acceptance/test_worker_stop.py"

MUTANTS = (
    Mutant(
        rule="nothing is prepared where a pooler may stand between",
        file=DATABASE_PY,
        old=' and row["pid"] == self.info.backend_pid',
        new="",
        seen_by=at(PREPARED, "test_a_session_whose_process_is_not_as_it_was_told_prepares_nothing"),
    ),
    Mutant(
        rule="a prepared statement that is refused ends its connection",
        file=DATABASE_PY,
        old="            await self.close()\n"
        "            raise psycopg.OperationalError(\n                f",
        new="            raise psycopg.OperationalError(\n                f",
        seen_by=at(
            PREPARED,
            "test_another_column_that_changes_its_type_costs_the_connection_and_nothing_else",
        ),
    ),
    Mutant(
        rule="a process that met such a refusal prepares nothing more",
        file=DATABASE_PY,
        old="            PreparingConnection._distrusted = True\n",
        new="",
        seen_by=at(
            PREPARED,
            "test_another_column_that_changes_its_type_costs_the_connection_and_nothing_else",
        ),
    ),
    Mutant(
        rule="a claim is not planned anew each time",
        file="outbox_worker/sql/outbox.sql",
        old="unnest((select %(destinations)s::text[]), (select %(limits)s::int[]),"
        " (select %(max_attempts)s::int[]))",
        new="unnest(%(destinations)s::text[], %(limits)s::int[], %(max_attempts)s::int[])",
        seen_by=at(
            PREPARED,
            "test_the_claim_is_not_planned_anew_each_time_where_nothing_was_ever_analyzed",
        ),
    ),
    Mutant(
        rule="a statement over many rows is planned for their number",
        file=DATABASE_PY,
        old="return None if count <= _MOST_AS_PREPARED else False",
        new="return None",
        seen_by=at(PREPARED, "test_a_plan_is_kept_for_few_rows_only[21-False]"),
    ),
    Mutant(
        rule="a worker that stops claims nothing more",
        file=LOOP_PY,
        old="return self._unsettled.recordable and not self._stopping",
        new="return self._unsettled.recordable",
        seen_by=at(RULES, "test_a_worker_that_stops_claims_nothing_more"),
    ),
    Mutant(
        rule="a worker that stops begins no call that has not begun",
        file=LOOP_PY,
        old="            if not item.lease.begun:\n                item.lease.call_off()\n",
        new="            pass\n",
        seen_by=at(STOP, "test_a_stop_gives_back_what_has_not_begun_and_finishes_what_has"),
    ),
    Mutant(
        rule="a notification is looked after at once",
        file=LOOP_PY,
        old="        if self._wakeup.take_request():\n",
        new="        if False:\n",
        seen_by=at(STOP, "test_a_notification_is_picked_up_long_before_the_next_poll"),
    ),
    Mutant(
        rule="polling finds what no notification announced",
        file=LOOP_PY,
        old="        if time.monotonic() - self._polled_at >= self._poll.total_seconds():\n",
        new="        if False:\n",
        seen_by=at(STOP, "test_without_a_notification_polling_finds_the_row"),
    ),
    Mutant(
        rule="polling goes on however busy another destination is",
        file=LOOP_PY,
        old="        if time.monotonic() - self._polled_at >= self._poll.total_seconds():\n",
        new="        if self.settled and time.monotonic() - self._polled_at"
        " >= self._poll.total_seconds():\n",
        seen_by=at(
            ISOLATION,
            "test_what_becomes_due_by_time_is_found_however_busy_another_destination_is",
        ),
    ),
    Mutant(
        rule="what was requested before LISTEN began is looked for",
        file=WAKEUP_PY,
        old="                self._requested = True\n                self._event.set()\n"
        "                logger()",
        new="                logger()",
        seen_by=at(
            WAKEUP, "test_what_was_asked_for_before_listen_began_is_not_left_to_the_next_poll"
        ),
    ),
    Mutant(
        rule="LISTEN counts only after a probe was heard",
        file=WAKEUP_PY,
        old="                    await self._heard.wait()\n",
        new="                    pass\n",
        seen_by=at(WAKEUP, "test_a_listen_that_delivers_nothing_is_told_and_polling_goes_on"),
    ),
    Mutant(
        rule="a LISTEN that was never heard is told",
        file=WAKEUP_PY,
        old="            if not self._told_lost:\n",
        new="            if self.listening and not self._told_lost:\n",
        seen_by=at(WAKEUP, "test_a_listen_that_delivers_nothing_is_told_and_polling_goes_on"),
    ),
    Mutant(
        rule="the probe is repeated",
        file=WAKEUP_PY,
        old="            await asyncio.sleep(PROBE_EVERY.total_seconds())\n",
        new="            await asyncio.Event().wait()\n",
        seen_by=at(WAKEUP, "test_a_listen_that_goes_deaf_later_is_noticed"),
    ),
    Mutant(
        rule="a probe that cannot be sent says nothing of LISTEN",
        file=WAKEUP_PY,
        old="                await asyncio.sleep(_RECONNECT_AFTER.total_seconds())\n"
        "                continue\n",
        new="                return\n",
        seen_by=at(WAKEUP, "test_a_probe_that_cannot_be_sent_does_not_end_a_listen_that_delivers"),
    ),
    Mutant(
        rule="SIGTERM is heard",
        file=SUPERVISOR_PY,
        old="            running.add_signal_handler(number, self._signalled)\n",
        new="            pass\n",
        seen_by=at(PROCESS, "test_stopping_without_a_database_takes_bounded_time"),
    ),
    Mutant(
        rule="SIGTERM lets calls that have begun finish",
        file=SUPERVISOR_PY,
        old="        while self._loop.in_flight and time.monotonic() < ends"
        " and not self._second.is_set():\n",
        new="        while False:\n",
        seen_by=at(
            PROCESS, "test_sigterm_lets_a_call_that_has_begun_finish_and_claims_nothing_more"
        ),
    ),
    Mutant(
        rule="what has ended is recorded before the worker stops",
        file=SUPERVISOR_PY,
        old="        await self._settle_some(_LAST_SETTLE, last=True)\n",
        new="",
        seen_by=at(
            PROCESS_STOP, "test_a_call_that_outlasts_the_shutdown_time_is_cut_off_as_ambiguous"
        ),
    ),
    Mutant(
        rule="a call that outlasts the shutdown time is cut off",
        file=SUPERVISOR_PY,
        old="ends = time.monotonic() + self._shutdown.total_seconds()",
        new="ends = time.monotonic() + 3600",
        seen_by=at(
            PROCESS_STOP, "test_a_call_that_outlasts_the_shutdown_time_is_cut_off_as_ambiguous"
        ),
    ),
    Mutant(
        rule="a second signal cuts off at once",
        file=SUPERVISOR_PY,
        old="            self._second.set()\n            self._loop.cancel()\n",
        new="",
        seen_by=at(PROCESS, "test_a_second_signal_cuts_off_and_the_call_is_settled_as_ambiguous"),
    ),
    Mutant(
        rule="waiting for a database ends with the signal",
        file=SUPERVISOR_PY,
        old="{trying, stopping} if until_stop else {trying},",
        new="{trying},",
        seen_by=at(PROCESS, "test_stopping_without_a_database_takes_bounded_time"),
    ),
    Mutant(
        rule="a statement that waits for a lock does not keep a worker from stopping",
        file=SUPERVISOR_PY,
        old="                {turn, stop},\n",
        new="                {turn},\n",
        seen_by=at(ISOLATION, "test_a_locked_table_does_not_keep_a_worker_from_stopping"),
    ),
    Mutant(
        rule="a database that is gone never makes stopping hang",
        file=SUPERVISOR_PY,
        old="max(_SHORTEST_SETTLE, bound).total_seconds()",
        new="3600.0",
        seen_by=at(PROCESS_STOP, "test_a_database_that_is_gone_does_not_make_stopping_hang"),
    ),
    Mutant(
        rule="a second signal waits for no database that is gone",
        file=SUPERVISOR_PY,
        old="asyncio.create_task(self._second.wait())",
        new="asyncio.create_task(asyncio.Event().wait())",
        seen_by=at(
            PROCESS_STOP,
            "test_a_second_signal_ends_the_process_though_the_database_is_gone[refuses]",
        ),
    ),
    Mutant(
        rule="a second signal leaves time to record what became of the calls",
        file=SUPERVISOR_PY,
        old="            if second.done() and not settling.done():\n",
        new="            if False:\n",
        seen_by=at(
            PROCESS_STOP, "test_a_second_signal_cuts_calls_off_and_records_what_became_of_them"
        ),
    ),
)
