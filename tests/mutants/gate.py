"""The gate: circuit, probes, redrive, pause and the common limit of calls."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

CIRCUIT_PY = "outbox_worker/gate/circuit.py"
RATE_PY = "outbox_worker/gate/rate.py"
ALARM_PY = "outbox_worker/worker/alarm.py"
SHUT_PY = "outbox_worker/alerts/shut_gate.py"
ALERTS_PY = "outbox_worker/alerts/store.py"
ALERTS_SQL = "outbox_worker/sql/alerts.sql"
KEEPER_PY = "outbox_worker/worker/gatekeeper.py"
BUDGET_PY = "outbox_worker/worker/call_budget.py"
LOOP_PY = "outbox_worker/worker/loop.py"
COLUMNS_PY = "outbox_worker/worker/columns.py"
OUTBOX_SQL = "outbox_worker/sql/outbox.sql"
GATE_SQL = "outbox_worker/sql/gate.sql"
CIRCUIT = "tests/integration/test_gate_circuit.py"
PAUSE = "tests/integration/test_gate_pause_and_rate.py"
MOVES = "tests/unit/test_gate_circuit.py"
RATE = "tests/unit/test_gate_rate.py"
RUNNING = "tests/unit/test_running.py"
CAUSES = "tests/integration/test_gate_causes.py"

BOOKS = "tests/integration/test_gate_bookkeeping.py"
GUESTY_PY = "outbox_worker/pms/guesty.py"
COST = "tests/conformance/test_pms_cost.py"

MUTANTS = (
    *(
        Mutant(
            rule=f"a read that follows {what} counts as a call",
            file=GUESTY_PY,
            old="        further()\n        shown =",
            new="        shown =",
            nth=(number, 2),
            seen_by=at(COST, "test_every_call_of_a_claim_is_counted_as_it_is_made"),
        )
        for number, what in enumerate(("a search", "a refusal"), 1)
    ),
    Mutant(
        rule="a claim that was cut off gives no call back that it has made",
        file="outbox_worker/worker/execute.py",
        old='code="worker_stopped", calls=lease.calls)',
        new='code="worker_stopped")',
        seen_by=at(RUNNING, "test_what_was_read_before_it_was_cut_off_counts_and_proves_nothing"),
    ),
    Mutant(
        rule="what ends while the gate is written is told next time",
        file=KEEPER_PY,
        old="if id(item) not in done]",
        new="if item[0] is not destination]",
        seen_by=at(BOOKS, "test_what_ends_while_the_gate_is_written_is_told_next_time"),
    ),
    Mutant(
        rule="a gate that cannot be written keeps no result from being recorded",
        file=KEEPER_PY,
        old="            except OutboxError as error:\n",
        new="            except ZeroDivisionError as error:\n",
        seen_by=at(BOOKS, "test_a_gate_that_cannot_be_written_keeps_no_result_from_being_recorded"),
    ),
    Mutant(
        rule="a look-up that works hides no write that does not",
        file=KEEPER_PY,
        old=" | Wait(record=AttemptOutcome.WAITING):",
        new=":",
        seen_by=at(BOOKS, "test_look_ups_that_work_do_not_hide_that_no_write_gets_through"),
    ),
    Mutant(
        rule="an outage that turns into a refused key is told as that",
        file=ALARM_PY,
        old="shut_gate.refused if after.cause is Cause.MISCONFIGURED else shut_gate.unanswered",
        new="shut_gate.unanswered",
        seen_by=at(
            BOOKS,
            "test_an_outage_that_turns_into_a_refused_key_is_told_as_that_and_all_of_it_ends",
        ),
    ),
    Mutant(
        rule="each cause that keeps a gate shut is told, and once",
        file=SHUT_PY,
        old='fingerprint=f"{destination}:{code}" if code else str(destination)',
        new="fingerprint=str(destination)",
        seen_by=at(CAUSES, "test_causes_that_take_turns_are_told_once_each_until_the_gate_opens"),
    ),
    Mutant(
        rule="a gate that nobody was told of is told at the next failed probe",
        file=ALARM_PY,
        old="after.opens > turn.before.opens and",
        new="after.cause is not turn.before.cause and",
        seen_by=at(CAUSES, "test_a_refusal_that_nobody_was_told_of_is_told_at_the_next_probe"),
    ),
    Mutant(
        rule="a quota that was spent for want of a token is no second incident",
        file=ALERTS_PY,
        old="        if await is_open(conn, other):\n",
        new="        if False:\n",
        seen_by=at(CAUSES, "test_a_quota_that_failing_requests_have_spent_is_the_same_incident"),
    ),
    Mutant(
        rule="a person who takes over a booking ends no alert about what keeps the gate shut",
        file=ALERTS_SQL,
        old="split_part(a.fingerprint, ':', 1) and g.circuit <> 'closed'))\n",
        new="split_part(a.fingerprint, ':', 1) and false))\n",
        seen_by=at(CAUSES, "test_a_discarded_booking_ends_no_alert_about_what_keeps_the_gate_shut"),
    ),
    Mutant(
        rule="an open gate leaves the booking that is named to its own success",
        file=ALARM_PY,
        old="alerts.resolve_healed(conn, shut, channels=ALERT_CHANNELS)",
        new="alerts.close(conn, shut, channels=ALERT_CHANNELS)",
        seen_by=at(CAUSES, "test_an_open_gate_ends_no_alert_about_an_address_of_one_booking"),
    ),
    Mutant(
        rule="an address that is wrong for one booking holds up no other",
        file=CIRCUIT_PY,
        old="            if seen.sure or counted.several:\n",
        new="            if True:\n",
        seen_by=at(
            MOVES,
            "test_an_address_that_is_wrong_for_one_booking_alone_does_not_hold_up_the_others",
        ),
    ),
    Mutant(
        rule="giving calls back frees none that somebody else made",
        file=RATE_PY,
        old="calls - count if slot == slots_of.get(key) else calls",
        new="calls - count",
        seen_by=at(RATE, "test_giving_back_frees_no_call_that_somebody_else_made"),
    ),
    Mutant(
        rule="failures in a row open the circuit",
        file=CIRCUIT_PY,
        old="if counted.failures >= limit and counted.several:",
        new="if False:",
        seen_by=at(CIRCUIT, "test_an_outage_opens_the_circuit_and_nothing_more_is_called"),
    ),
    Mutant(
        rule="one row's failures never open the circuit",
        file=CIRCUIT_PY,
        old="if counted.failures >= limit and counted.several:",
        new="if counted.failures >= limit:",
        seen_by=at(MOVES, "test_one_row_alone_never_opens_it_however_often_it_fails"),
    ),
    Mutant(
        rule="an answer forgets the failures before it",
        file=CIRCUIT_PY,
        old="        case Evidence.ANSWERED:\n            return CLOSED\n",
        new="        case Evidence.ANSWERED:\n            return circuit\n",
        seen_by=at(MOVES, "test_four_failures_leave_it_closed_and_one_answer_forgets_them"),
    ),
    Mutant(
        rule="an open circuit is asked by the claim",
        file=OUTBOX_SQL,
        old="where circuit = 'closed' and not paused and",
        new="where not paused and",
        seen_by=at(CIRCUIT, "test_while_it_is_open_no_attempt_is_charged"),
    ),
    Mutant(
        rule="a pause is asked by the claim",
        file=OUTBOX_SQL,
        old="where circuit = 'closed' and not paused and",
        new="where circuit = 'closed' and",
        seen_by=at(PAUSE, "test_a_paused_destination_sends_nothing_until_it_is_resumed"),
    ),
    Mutant(
        rule="the rest that a destination asked for is kept by the claim",
        file=OUTBOX_SQL,
        old="not paused and (held_until is null or held_until <= now())),",
        new="not paused),",
        seen_by=at(
            PAUSE,
            "test_who_asks_to_be_left_alone_is_left_alone_by_all_rows_of_all_workers",
        ),
    ),
    Mutant(
        rule="one worker of the fleet probes",
        file=GATE_SQL,
        old="g.circuit = 'half_open' and g.probe_until <= now())\n  and coalesce",
        new="g.circuit = 'half_open')\n  and coalesce",
        seen_by=at(BOOKS, "test_a_probe_is_taken_once"),
    ),
    Mutant(
        rule="a probe whose worker was lost is taken over",
        file=OUTBOX_SQL,
        old=" or g.circuit = 'half_open' and g.probe_until <= now()) as probe_due",
        new=") as probe_due",
        seen_by=at(CIRCUIT, "test_a_probe_whose_worker_was_lost_is_taken_over"),
    ),
    Mutant(
        rule="with nothing due, what was given up is the probe",
        file=GATE_SQL,
        old="<= now()) order by d.due_at limit 1)) is not null",
        new="<= now()) and false order by d.due_at limit 1)) is not null",
        seen_by=at(
            CIRCUIT,
            "test_with_nothing_due_the_oldest_that_was_given_up_is_the_probe_and_all_come_back",
        ),
    ),
    Mutant(
        rule="a probe that fails costs no attempt",
        file=COLUMNS_PY,
        old="    probe = claim.probe and outcome.outage\n",
        new="    probe = False\n",
        seen_by=at(
            CIRCUIT,
            "test_a_failed_probe_costs_no_attempt_waits_longer_and_lets_another_row_try_next",
        ),
    ),
    Mutant(
        rule="the wait between probes doubles",
        file=CIRCUIT_PY,
        old="FIRST_PROBE * 2 ** min(opens - 1, 10)",
        new="FIRST_PROBE",
        seen_by=at(MOVES, "test_probes_that_fail_double_the_wait_up_to_its_cap"),
    ),
    Mutant(
        rule="a refused key opens the circuit at once",
        file=CIRCUIT_PY,
        old="return opened(CLOSED, cause=Cause.MISCONFIGURED, code=seen.code, now=now)\n",
        new="return circuit\n",
        seen_by=at(
            CIRCUIT, "test_a_wrong_key_rejects_no_booking_and_a_restart_tries_again_at_once"
        ),
    ),
    Mutant(
        rule="a worker that starts probes a destination that refused the old settings",
        file=KEEPER_PY,
        old="await store.allow_probe(conn, destination, cause=Cause.MISCONFIGURED)\n",
        new="pass\n",
        seen_by=at(
            CIRCUIT, "test_a_wrong_key_rejects_no_booking_and_a_restart_tries_again_at_once"
        ),
    ),
    Mutant(
        rule="when the circuit closes, what was given up is tried again",
        file=KEEPER_PY,
        old="redrive_before=gate.now if closed else None",
        new="redrive_before=None",
        seen_by=at(
            CIRCUIT,
            "test_with_nothing_due_the_oldest_that_was_given_up_is_the_probe_and_all_come_back",
        ),
    ),
    Mutant(
        rule="what was given up is tried again once",
        file=GATE_SQL,
        old=" and d.claimed_at < %(before)s",
        new="",
        seen_by=at(CIRCUIT, "test_a_row_that_fails_again_is_not_redriven_in_a_circle"),
    ),
    Mutant(
        rule="an outage is told",
        file=ALARM_PY,
        old="        found.append(incident(destination, pms=pms, code=after.code))\n",
        new="        pass\n",
        seen_by=at(
            CIRCUIT, "test_an_outage_is_told_at_the_first_failed_probe_once_and_its_end_too"
        ),
    ),
    Mutant(
        rule="the end of an outage is told",
        file=ALARM_PY,
        old="await alerts.open_of_gate(conn, destination) if closed else ()",
        new="()",
        seen_by=at(
            CIRCUIT, "test_an_outage_is_told_at_the_first_failed_probe_once_and_its_end_too"
        ),
    ),
    Mutant(
        rule="answers while all is well write nothing",
        file=KEEPER_PY,
        old="        if seen and not self._trivial(destination, seen):\n",
        new="        if seen:\n            await conn.execute(\n"
        '                "update outbox.destination set updated_at = now()")\n',
        seen_by=at(CIRCUIT, "test_answers_while_all_is_well_write_nothing"),
    ),
    Mutant(
        rule="an answer clears failures that another worker saw",
        file=KEEPER_PY,
        old="            if look.suspect:\n",
        new="            if False:\n",
        seen_by=at(CIRCUIT, "test_an_answer_ends_a_row_of_failures_that_another_worker_saw"),
    ),
    Mutant(
        rule="all workers share one limit of calls",
        file=BUDGET_PY,
        old="        return min(free, self._calls // self._each)\n",
        new="        return free\n",
        seen_by=at(PAUSE, "test_two_workers_share_one_limit_and_charge_no_attempt_for_waiting"),
    ),
    Mutant(
        rule="calls that others make of the same limit are counted",
        file=BUDGET_PY,
        old="            await self._count_others(conn)\n",
        new="",
        seen_by=at(PAUSE, "test_whoever_else_uses_the_account_takes_from_the_same_limit"),
    ),
    Mutant(
        rule="a call counts until its slot has left the window for good",
        file=RATE_PY,
        old="if current - SLOTS <= s <= current + 1",
        new="if current - SLOTS // 2 <= s <= current + 1",
        seen_by=at(
            RATE, "test_no_stretch_of_a_windows_length_ever_holds_more_calls_than_its_limit"
        ),
    ),
    Mutant(
        rule="calls that were not needed are given back",
        file=BUDGET_PY,
        old="count=left, taken_at=taken_at",
        new="count=0, taken_at=taken_at",
        seen_by=at(PAUSE, "test_calls_that_were_not_needed_are_given_back"),
    ),
    Mutant(
        rule="a gate that somebody locks holds up its own destination alone",
        file=GATE_SQL,
        old="select set_config('lock_timeout', '200ms', true)",
        new="select set_config('lock_timeout', '0', true)",
        seen_by=at(PAUSE, "test_a_gate_that_somebody_locks_holds_up_its_own_destination_alone"),
    ),
)
