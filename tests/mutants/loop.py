"""The loop: rules of looking, claiming, running, extending and recording."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

LOOP_PY = "outbox_worker/worker/loop.py"
UNSETTLED_PY = "outbox_worker/worker/unsettled.py"
LEASE_PY = "outbox_worker/worker/lease.py"
EXECUTE_PY = "outbox_worker/worker/execute.py"
LOOP = "tests/integration/test_engine_loop.py"
STOP = "tests/integration/test_engine_stop_and_wakeup.py"
RULES = "tests/integration/test_engine_rules_loop.py"
WAKEUP = "tests/integration/test_engine_rules_wakeup.py"
ISOLATION = "tests/integration/test_engine_isolation.py"

MUTANTS = (
    Mutant(
        rule="a claim is committed before its work is read and begun",
        file=LOOP_PY,
        old="        with translated():\n            claimed = await store.claim(",
        new='        await conn.execute("begin")\n'
        "        with translated():\n            claimed = await store.claim(",
        seen_by=at(RULES, "test_a_claim_is_committed_before_its_work_is_read"),
    ),
    Mutant(
        rule="no more is claimed than there are free slots",
        file=LOOP_PY,
        old="self._slots.get(name, 0) - used[name]) > 0",
        new="self._slots.get(name, 0)) > 0",
        seen_by=at(LOOP, "test_no_more_is_claimed_than_there_are_free_slots"),
    ),
    Mutant(
        rule="a result that is not recorded yet takes its slot",
        file=LOOP_PY,
        old="        for claim in self._unsettled.claims:\n"
        "            used[claim.destination] += 1\n",
        new="",
        seen_by=at(RULES, "test_a_result_that_is_not_recorded_yet_takes_its_slot"),
    ),
    Mutant(
        rule="a look at one destination does not forget a full one",
        file=LOOP_PY,
        old="self._look.difference_update(free)",
        new="self._look.clear()",
        seen_by=at(
            WAKEUP, "test_a_full_destination_is_not_forgotten_when_another_one_is_looked_at"
        ),
    ),
    Mutant(
        rule="a destination that filled its slots is looked at again",
        file=LOOP_PY,
        old="            if taken and taken >= limit:\n                self._look.add(name)\n",
        new="",
        seen_by=at(LOOP, "test_a_slot_that_becomes_free_is_filled_at_once_not_at_the_next_poll"),
    ),
    Mutant(
        rule="what a settle makes due is looked for at once",
        file=LOOP_PY,
        old="            if flushed.more:\n                self._look.update(self._handlers)\n",
        new="",
        seen_by=at(LOOP, "test_a_park_with_an_alert_reaches_the_mail_destination_in_the_same_loop"),
    ),
    Mutant(
        rule="claims that could not be read are given back uncharged",
        file=LOOP_PY,
        old="for claim in waiting.values()))",
        new="for claim in ()))",
        seen_by=at(LOOP, "test_claims_that_could_not_be_read_are_given_back_uncharged"),
    ),
    Mutant(
        rule="a row that cannot be read fails alone",
        file="outbox_worker/worker/intake.py",
        old="        if len(claims) == 1:\n",
        new="        if claims:\n",
        seen_by=at(ISOLATION, "test_a_row_that_cannot_be_read_fails_alone_and_is_charged"),
    ),
    Mutant(
        rule="a destination that cannot be read does not stop another",
        file=LOOP_PY,
        old="                    trouble = error\n                    continue\n",
        new="                    raise\n",
        seen_by=at(
            ISOLATION, "test_a_destination_that_cannot_be_read_at_all_does_not_stop_another"
        ),
    ),
    Mutant(
        rule="nothing is claimed while a result is refused",
        file=UNSETTLED_PY,
        old="return not self._refusals and time.monotonic() >= self._claims_from",
        new="return time.monotonic() >= self._claims_from",
        seen_by=at(RULES, "test_nothing_is_claimed_while_postgres_refuses_a_result_and_then_again"),
    ),
    Mutant(
        rule="claims go on once the refused result is recorded",
        file=UNSETTLED_PY,
        old="            self._refusals.pop((item.claim.id, item.claim.fence), None)\n",
        new="            pass\n",
        seen_by=at(RULES, "test_nothing_is_claimed_while_postgres_refuses_a_result_and_then_again"),
    ),
    Mutant(
        rule="claims pause when nothing at all can be recorded",
        file=UNSETTLED_PY,
        old="return not self._refusals and time.monotonic() >= self._claims_from",
        new="return not self._refusals",
        seen_by=at(STOP, "test_while_nothing_can_be_recorded_nothing_is_started"),
    ),
    Mutant(
        rule="a batch that fails is retried row by row",
        file=UNSETTLED_PY,
        old="        if len(batch) == 1:\n            self._refused_by_postgres(batch[0], error)\n",
        new="        if batch:\n            self._refused_by_postgres(batch[0], error)\n",
        seen_by=at(RULES, "test_one_refused_result_costs_the_others_of_its_batch_nothing"),
    ),
    Mutant(
        rule="a lock that somebody holds is no loss of the connection",
        file="outbox_worker/errors.py",
        old="class DatabaseBusyError(DatabaseError):",
        new="class DatabaseBusyError(DatabaseUnreachableError):",
        seen_by=at(RULES, "test_a_locked_delivery_does_not_hold_up_the_results_of_others"),
    ),
    Mutant(
        rule="a result that Postgres keeps refusing is dropped",
        file=UNSETTLED_PY,
        old="if self._refusals[key] < _MAX_REFUSALS:",
        new="if key in self._refusals:",
        seen_by=at(RULES, "test_a_result_that_is_refused_for_good_is_dropped"),
    ),
    Mutant(
        rule="a result is recorded although the site refuses its columns",
        file=UNSETTLED_PY,
        old="        if item.result.booking_id is not None:\n            # The site",
        new="        if False:\n            # The site",
        seen_by=at(
            ISOLATION,
            "test_a_booking_whose_columns_the_site_refuses_is_recorded_and_told_all_the_same",
        ),
    ),
    Mutant(
        rule="leases of what runs and of what waits are extended",
        file=LOOP_PY,
        old="not self.settled and boot_time() - self._extended_at > self._extend_every:",
        new="False:",
        seen_by=at(RULES, "test_a_call_keeps_its_lease_however_seldom_the_loop_polls"),
    ),
    Mutant(
        rule="a result that waits for its booking keeps its lease",
        file=LOOP_PY,
        old="not self.settled and boot_time() - self._extended_at > self._extend_every:",
        new="self._in_flight and boot_time() - self._extended_at > self._extend_every:",
        seen_by=at(STOP, "test_a_result_that_waits_for_its_booking_keeps_its_lease"),
    ),
    Mutant(
        rule="a pause ends in time for the next extension",
        file=LOOP_PY,
        old="            wait = min(wait, timedelta(seconds=self._extend_every))\n",
        new="            pass\n",
        seen_by=at(RULES, "test_a_call_keeps_its_lease_however_seldom_the_loop_polls"),
    ),
    Mutant(
        rule="a call may not begin on a row that is not ours any more",
        file=LOOP_PY,
        old="            elif item.claim.fence not in extended.locked:\n"
        "                item.lease.call_off()\n",
        new="",
        seen_by=at(RULES, "test_a_call_may_not_begin_on_a_row_that_was_taken_over[another worker]"),
    ),
    Mutant(
        rule="a lease is counted from before the claim was sent",
        file=LOOP_PY,
        old="taken.states[claim.id], self._handlers[name], taken_at)",
        new="taken.states[claim.id], self._handlers[name], boot_time())",
        seen_by=at(RULES, "test_a_lease_is_counted_from_before_the_claim_was_sent"),
    ),
    Mutant(
        rule="a call that could outlast the lease is not begun",
        file=LEASE_PY,
        old="self._clock() + call.total_seconds() > self._ends",
        new="self._clock() > self._ends",
        seen_by=at(
            STOP,
            "test_a_lease_counts_from_before_the_claim_and_allows_no_call_that_could_outlast_it",
        ),
    ),
    Mutant(
        rule="a lease counts the time that the machine sleeps",
        file=LEASE_PY,
        old="time.clock_gettime(time.CLOCK_BOOTTIME)",
        new="time.clock_gettime(time.CLOCK_MONOTONIC)",
        seen_by=at(RULES, "test_time_that_a_machine_sleeps_counts"),
    ),
    Mutant(
        rule="a row lost on every attempt is given up unsent",
        file=EXECUTE_PY,
        old="limit is not None and claim.attempts > limit",
        new="False",
        seen_by=at(LOOP, "test_a_row_lost_on_every_attempt_is_parked_without_a_call"),
    ),
    Mutant(
        rule="a handler that raises fails its row alone",
        file=EXECUTE_PY,
        old="        except Exception as error:  # noqa: BLE001"
        " - one poisoned row must not stop the others\n",
        new="        except KeyError as error:\n",
        seen_by=at(LOOP, "test_one_handler_that_raises_fails_its_row_alone"),
    ),
    Mutant(
        rule="a handler that raises after it has begun leaves the row uncertain",
        file=EXECUTE_PY,
        old="ambiguous=lease.begun,",
        new="ambiguous=False,",
        seen_by=at(RULES, "test_a_handler_that_fails_after_it_has_begun_leaves_the_row_uncertain"),
    ),
    Mutant(
        rule="a begun call that is cut off is settled as ambiguous, never given back",
        file=EXECUTE_PY,
        old='    if lease.begun:\n        retry = Retry(code="interrupted"',
        new='    if False:\n        retry = Retry(code="interrupted"',
        seen_by=at(STOP, "test_a_call_that_has_begun_is_never_given_back_when_it_is_cut_off"),
    ),
    Mutant(
        rule="what has not begun when it is cut off is given back uncharged",
        file=EXECUTE_PY,
        old='    if lease.begun:\n        retry = Retry(code="interrupted"',
        new='    if True:\n        retry = Retry(code="interrupted"',
        seen_by=at(STOP, "test_a_call_that_has_begun_is_never_given_back_when_it_is_cut_off"),
    ),
    Mutant(
        rule="permission to write makes a claim begun",
        file=LEASE_PY,
        old="        self.begun = True\n",
        new="",
        seen_by=at(STOP, "test_a_call_that_has_begun_is_never_given_back_when_it_is_cut_off"),
    ),
)
