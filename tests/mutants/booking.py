"""One booking: rules of look-up, quiet period, attempts, retries and redrives."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

DECIDE_PY = "outbox_worker/handlers/decide.py"
BOOKING_PY = "outbox_worker/handlers/booking.py"
RESULTS_PY = "outbox_worker/handlers/results.py"
RETRY_PY = "outbox_worker/outbox/retry.py"
DECIDE = "tests/unit/test_sync_rules.py"
RETRY = "tests/unit/test_retry.py"
BOOKING = "tests/integration/test_booking_handler.py"
EDGES = "tests/integration/test_booking_handler_edges.py"
RULES = "tests/integration/test_engine_rules_booking.py"

_DEADLINE = (
    "        if not job.deadline.allows(self._rules.timeout):\n"
    "            return results.abandoned(job)\n"
)
_WRITES = ("create", "change", "cancel")

MUTANTS = (
    *(
        Mutant(
            rule=f"a {write} that could outlast the lease is not sent, and not charged",
            file=BOOKING_PY,
            old=_DEADLINE,
            new="        job.deadline.allows(self._rules.timeout)\n",
            nth=(number, len(_WRITES)),
            seen_by=at(RULES, f"test_no_write_leaves_that_could_outlast_its_lease[{write}]"),
        )
        for number, write in enumerate(_WRITES, 1)
    ),
    Mutant(
        rule="a certain new booking is looked up before it is created",
        file=DECIDE_PY,
        old="    return LookUp() if look_before_create else Create()\n",
        new="    return Create()\n",
        seen_by=at(RULES, "test_a_restored_backup_that_forgot_a_reservation_doubles_nothing"),
    ),
    Mutant(
        rule="in doubt there is always a look-up before a create",
        file=DECIDE_PY,
        old="    if doubt is not None:\n        return LookUp()\n",
        new="",
        seen_by=at(
            DECIDE, "test_the_look_up_before_a_create_can_be_turned_off_but_not_while_in_doubt"
        ),
    ),
    Mutant(
        rule="an absent reservation is not created before the quiet period is over",
        file=DECIDE_PY,
        old="    if doubt is not None and doubt.rest > timedelta(0):\n"
        "        return AwaitQuiet(rest=doubt.rest)\n"
        "    return Nothing() if wanted.cancelled else Create()\n",
        new="    return Nothing() if wanted.cancelled else Create()\n",
        seen_by=at(BOOKING, "test_an_effect_that_lands_late_is_waited_for_and_adopted"),
    ),
    Mutant(
        rule="a known reservation is not written before the quiet period is over",
        file=DECIDE_PY,
        old="        return AwaitQuiet(rest=doubt.rest)\n    # After doubt",
        new="        pass\n    # After doubt",
        seen_by=at(
            DECIDE, "test_a_known_reservation_is_not_written_before_the_quiet_period_is_over"
        ),
    ),
    Mutant(
        rule="an equal record proves nothing after doubt",
        file=DECIDE_PY,
        old="    if doubt is None and known.fingerprint == wanted.fingerprint:\n",
        new="    if known.fingerprint == wanted.fingerprint:\n",
        seen_by=at(
            DECIDE,
            "test_a_known_reservation_is_not_written_before_the_quiet_period_is_over",
            "test_no_history_doubles_loses_or_leaves_a_booking_stale",
        ),
    ),
    Mutant(
        rule="an unchanged booking is not sent again",
        file=DECIDE_PY,
        old="    if doubt is None and known.fingerprint == wanted.fingerprint:\n"
        "        return Nothing()\n",
        new="",
        seen_by=at(BOOKING, "test_a_second_request_of_an_unchanged_booking_sends_nothing"),
    ),
    Mutant(
        rule="a reservation found in another state is recorded first and changed next",
        file=DECIDE_PY,
        old='            hit.status == "canceled" if wanted.cancelled'
        " else hit.fingerprint == wanted.fingerprint\n",
        new="            True\n",
        seen_by=at(
            BOOKING, "test_a_different_state_found_by_look_up_is_recorded_first_and_changed_next"
        ),
    ),
    Mutant(
        rule="somebody else's stay under our reference is left alone",
        file=DECIDE_PY,
        old="    ours = [hit for hit in hits if is_ours(hit, wanted)]\n",
        new="    ours = list(hits)\n",
        seen_by=at(EDGES, "test_somebody_elses_stay_under_our_reference_is_left_alone"),
    ),
    Mutant(
        rule="a reservation with our mark is ours on whatever listing",
        file=DECIDE_PY,
        old="    if hit.marked:\n        return True\n",
        new="",
        seen_by=at(DECIDE, "test_ours_on_another_listing_is_adopted_to_be_moved_next"),
    ),
    Mutant(
        rule="the mark of a stay that a person names counts under the booking's reference",
        file="outbox_worker/operations/remote.py",
        old="    if hit.reference != booking.reference:\n",
        new="    if False:\n",
        seen_by=at(
            "tests/unit/test_operations_remote.py",
            "test_our_mark_counts_under_the_bookings_own_reference_only",
        ),
    ),
    Mutant(
        rule="two reservations of ours stop everything",
        file=DECIDE_PY,
        old="    if len(ours) > 1:\n",
        new="    if False:\n",
        seen_by=at(DECIDE, "test_two_of_ours_keep_the_oldest_on_record_and_stop"),
    ),
    Mutant(
        rule="a booking cancelled before it was ever sent is not created",
        file=DECIDE_PY,
        old="    if wanted.cancelled:\n        return Nothing()\n",
        new="",
        seen_by=at(DECIDE, "test_a_cancelled_booking_that_was_never_there_is_nothing_to_do"),
    ),
    Mutant(
        rule="the answer to an older create is not taken for the booking of now",
        file=BOOKING_PY,
        old="                if shown is not None and shown != job.wanted.fingerprint:\n",
        new="                if False:\n",
        seen_by=at(RULES, "test_the_answer_to_an_older_create_is_not_taken_for_the_booking_of_now"),
    ),
    Mutant(
        rule="an unknown outcome is ambiguous",
        file=RESULTS_PY,
        old="                ambiguous=True,\n",
        new="                ambiguous=False,\n",
        seen_by=at(
            BOOKING, "test_a_fault_around_the_effect_never_doubles_the_booking[timeout-after]"
        ),
    ),
    Mutant(
        rule="only an answer in full ends the quiet period at once",
        file=RESULTS_PY,
        old="settled_for=job.rules.quiet if answer.finished and not creating else timedelta(0),",
        new="settled_for=job.rules.quiet,",
        seen_by=at(BOOKING, "test_an_effect_that_lands_late_is_waited_for_and_adopted"),
    ),
    Mutant(
        rule="a create that failed in full waits for the quiet period too",
        file=RESULTS_PY,
        old="settled_for=job.rules.quiet if answer.finished and not creating else timedelta(0),",
        new="settled_for=job.rules.quiet if answer.finished else timedelta(0),",
        seen_by=at(
            BOOKING, "test_a_create_that_failed_in_full_is_not_repeated_while_a_look_up_may_lag"
        ),
    ),
    Mutant(
        rule="a failed look-up is an attempt",
        file=RESULTS_PY,
        old="        case Unavailable():\n            retry = Retry(",
        new="        case Unavailable():\n"
        "            return quiet(job, timedelta(seconds=1), http_status=answer.http_status)\n"
        "            retry = Retry(",
        seen_by=at(BOOKING, "test_three_failed_attempts_fail_the_booking_and_raise_one_alert"),
    ),
    Mutant(
        rule="being told to slow down costs no attempt",
        file=RESULTS_PY,
        old="        case RateLimited(retry_after=retry_after):\n",
        new="        case RateLimited(retry_after=retry_after):\n"
        '            return retried(job, Retry(code="rate_limited", message="slow down"))\n',
        seen_by=at(EDGES, "test_too_many_requests_cost_no_attempt"),
    ),
    Mutant(
        rule="a wrong key is not the booking's fault",
        file=RESULTS_PY,
        old="            return _misconfigured(job, answer)\n",
        new="            return retried(job, Retry(code=answer.code, message=answer.message))\n",
        seen_by=at(EDGES, "test_a_wrong_key_fails_no_booking_and_tells_once"),
    ),
    Mutant(
        rule="a refusal is not tried again",
        file=RESULTS_PY,
        old="        case Rejected():\n",
        new="        case Rejected():\n"
        "            return retried(job, Retry(code=answer.code, message=answer.message))\n",
        seen_by=at(EDGES, "test_a_rejection_is_not_tried_again"),
    ),
    Mutant(
        rule="a round ends at its limit of attempts",
        file=RETRY_PY,
        old="attempts < policy.max_attempts:",
        new="attempts <= policy.max_attempts:",
        seen_by=at(RETRY, "test_three_failed_attempts_are_the_default"),
    ),
    Mutant(
        rule="without a limit nothing is ever given up",
        file=RETRY_PY,
        old="    if policy.max_attempts is None or attempts < policy.max_attempts:\n",
        new="    if attempts < (policy.max_attempts or 3):\n",
        seen_by=at(RETRY, "test_without_a_limit_nothing_is_ever_given_up"),
    ),
    Mutant(
        rule="the wait doubles",
        file=RETRY_PY,
        old=" * 2 ** min(attempt - 1, 60)",
        new="",
        seen_by=at(RETRY, "test_the_default_waits_are_one_two_and_four_seconds"),
    ),
    Mutant(
        rule="the wait is capped",
        file=RETRY_PY,
        old="policy.cap.total_seconds()\n",
        new="2 * policy.cap.total_seconds()\n",
        seen_by=at(RETRY, "test_a_wait_doubles_until_the_cap"),
    ),
    Mutant(
        rule="jitter only adds, at most a quarter",
        file=RETRY_PY,
        old="(1 + 0.25 * jitter)",
        new="(1 - 0.25 * jitter)",
        seen_by=at(RETRY, "test_jitter_only_adds_and_at_most_a_quarter"),
    ),
    Mutant(
        rule="the first two redrives come after five and fifteen minutes",
        file=RETRY_PY,
        old="(min(wait, policy.redrive_every) for wait in _FIRST_REDRIVES)",
        new="(policy.redrive_every for wait in _FIRST_REDRIVES)",
        seen_by=at(
            RETRY, "test_redrives_come_after_five_and_fifteen_minutes_then_hourly_for_three_days"
        ),
    ),
    Mutant(
        rule="further redrives come hourly",
        file=RETRY_PY,
        old="        wait = policy.redrive_every\n",
        new="        wait = second\n",
        seen_by=at(
            RETRY, "test_redrives_come_after_five_and_fifteen_minutes_then_hourly_for_three_days"
        ),
    ),
    Mutant(
        rule="redrives end",
        file=RETRY_PY,
        old="    return wait if age + wait <= policy.redrive_for else None\n",
        new="    return wait\n",
        seen_by=at(RETRY, "test_every_row_is_left_alone_in_the_end"),
    ),
    Mutant(
        rule="a change that may set another price is told",
        file=BOOKING_PY,
        old="(*result.effects, *price.after_write(job, answer))",
        new="result.effects",
        seen_by=at(
            "tests/conformance/test_pms_price.py",
            "test_a_change_of_several_parts_is_told_once[guesty]",
        ),
    ),
    Mutant(
        rule="the further calls of a change do not tell its price again",
        file="outbox_worker/alerts/store.py",
        old="is not None and change != opened[key].change",
        new="is not None",
        seen_by=at(
            "tests/conformance/test_pms_price.py",
            "test_a_change_of_several_parts_is_told_once[guesty]",
        ),
    ),
    Mutant(
        rule="a price that a lost call has set is told before another call is made",
        file="outbox_worker/pms/guesty.py",
        old="        if lost or isinstance(step, Complete):\n",
        new="        if isinstance(step, Complete):\n",
        seen_by=at(
            "tests/conformance/test_pms_price.py",
            "test_a_price_that_was_set_by_a_lost_call_is_told_if_only_a_persons_part_is_left"
            "[guesty]",
        ),
    ),
    Mutant(
        rule="a price that changes while its mail is under way gets a mail of its own",
        file="outbox_worker/sql/alerts.sql",
        old=" and a.count > %(count)s::bigint",
        new=" and a.count > %(count)s::bigint + 1000",
        seen_by=at(
            "tests/conformance/test_pms_price.py",
            "test_a_change_that_is_settled_while_the_mail_is_under_way_gets_a_mail_of_its_own"
            "[guesty]",
        ),
    ),
    Mutant(
        rule="a cancellation ends the alert about the price",
        file=BOOKING_PY,
        old="(*result.effects, *price.after_cancel(job))",
        new="result.effects",
        seen_by=at(
            "tests/conformance/test_pms_price.py",
            "test_a_cancellation_ends_it_and_who_confirms_the_stay_again_is_told_again[guesty]",
        ),
    ),
)
