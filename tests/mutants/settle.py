"""Settle: rules of the transaction that records what became of claims."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

SQL = "outbox_worker/sql/outbox.sql"
BOOKINGS = "outbox_worker/sql/bookings.sql"
SETTLE_PY = "outbox_worker/worker/settle.py"
SETTLE = "tests/integration/test_engine_settle.py"
WITH_BOOKINGS = "tests/integration/test_engine_settle_bookings.py"
RULES = "tests/integration/test_engine_rules.py"
LOCKS = "tests/integration/test_engine_rules_locks.py"
LOCK_ORDER = "tests/architecture/test_lock_order.py"

#: The comparison of settle_held, settle_failed and release, in this order.
_OURS = " and d.fence = s.fence and d.owner = %(owner)s\n"
_BURNT = "owner = null, fence = 0, lease_until = null\n"
_KINDS = ("done", "failed", "released")
_STATEMENTS = ("success", "failure", "release")


def _of_each() -> tuple[Mutant, ...]:
    """The rules that success, failure and release have in common."""
    fences = tuple(
        Mutant(
            rule=f"a {statement} with another fence is refused",
            file=SQL,
            old=_OURS,
            new=" and d.owner = %(owner)s\n",
            nth=(number, 3),
            seen_by=at(
                RULES, f"test_a_fence_is_never_used_twice_and_an_older_one_settles_nothing[{kind}]"
            ),
        )
        for number, (statement, kind) in enumerate(zip(_STATEMENTS, _KINDS, strict=True), 1)
    )
    owners = tuple(
        Mutant(
            rule=f"a {statement} of another owner is refused",
            file=SQL,
            old=_OURS,
            new=" and d.fence = s.fence\n",
            nth=(number, 3),
            seen_by=at(SETTLE, "test_a_fence_number_used_twice_is_still_told_apart_by_the_owner"),
        )
        for number, statement in enumerate(_STATEMENTS, 1)
    )
    burnt = tuple(
        Mutant(
            rule=f"a {statement} burns the fence",
            file=SQL,
            old=_BURNT,
            new="owner = d.owner, fence = d.fence, lease_until = d.lease_until\n",
            nth=(number, 3),
            seen_by=at(RULES, f"test_a_settle_burns_the_fence[{kind}]"),
        )
        for number, (statement, kind) in enumerate(zip(_STATEMENTS, _KINDS, strict=True), 1)
    )
    return fences + owners + burnt


MUTANTS = (
    *_of_each(),
    Mutant(
        rule="success delivers the version that was claimed, not the one asked for since",
        file=SQL,
        old="    delivered = s.version, delivered_at",
        new="    delivered = d.requested, delivered_at",
        seen_by=at(SETTLE, "test_a_version_asked_for_during_the_call_goes_round_again"),
    ),
    Mutant(
        rule="success compares versions: a newer one stays owed",
        file=SQL,
        old="    due_at   = case when d.requested > s.version then now() end,\n",
        new="    due_at   = null,\n",
        seen_by=at(RULES, "test_a_version_asked_for_during_the_call_is_due_at_once"),
    ),
    Mutant(
        rule="after success a newer version is tried at once",
        file=SQL,
        old="    due_at   = case when d.requested > s.version then now() end,\n",
        new="    due_at   = case when d.requested > s.version then now() + interval '1 h' end,\n",
        seen_by=at(RULES, "test_a_version_asked_for_during_the_call_is_due_at_once"),
    ),
    Mutant(
        rule="a newer version begins a new round after success",
        file=SQL,
        old="    attempts = case when d.requested > s.version then 0 else d.attempts end,\n",
        new="",
        seen_by=at(SETTLE, "test_a_version_asked_for_during_the_call_goes_round_again"),
    ),
    Mutant(
        rule="success ends uncertainty",
        file=SQL,
        old="failed_at = null, uncertain_at = null,",
        new="failed_at = null,",
        seen_by=at(
            SETTLE, "test_an_ambiguous_failure_makes_the_row_uncertain_and_a_certain_one_leaves_it"
        ),
    ),
    Mutant(
        rule="giving up compares versions",
        file=SQL,
        old="    failed_at = case when s.give_up and d.requested = s.version then",
        new="    failed_at = case when s.give_up then",
        seen_by=at(SETTLE, "test_giving_up_is_about_the_version_that_was_read"),
    ),
    Mutant(
        rule="a newer version is tried at once after the last failed attempt",
        file=SQL,
        old="when d.requested > s.version then interval '0'\n",
        new="when d.requested > s.version then interval '1 h'\n",
        seen_by=at(SETTLE, "test_giving_up_is_about_the_version_that_was_read"),
    ),
    Mutant(
        rule="a newer version begins a new round after the last failed attempt",
        file=SQL,
        old="                     when s.give_up and d.requested > s.version then 0"
        " else d.attempts end,\n",
        new="                     else d.attempts end,\n",
        seen_by=at(SETTLE, "test_giving_up_is_about_the_version_that_was_read"),
    ),
    Mutant(
        rule="a failed attempt is repeated after its wait",
        file=SQL,
        old="when not s.give_up then s.again_in\n",
        new="when not s.give_up then interval '0'\n",
        seen_by=at(SETTLE, "test_a_failed_attempt_is_due_again_after_its_wait"),
    ),
    Mutant(
        rule="the settle that gives up plans the redrive",
        file=SQL,
        old="else s.redrive_in end end,\n",
        new="else null end end,\n",
        seen_by=at(RULES, "test_a_row_given_up_long_ago_keeps_its_date_through_redrives"),
    ),
    Mutant(
        rule="the date of giving up is kept through redrives",
        file=SQL,
        old="coalesce(d.failed_at, now())",
        new="now()",
        seen_by=at(RULES, "test_a_row_given_up_long_ago_keeps_its_date_through_redrives"),
    ),
    Mutant(
        rule="redrives send no second alert",
        file=SQL,
        old="u.gave_up and (l.was_failed_at is null or u.redrive_in is null) as tell",
        new="u.gave_up as tell",
        seen_by=at(RULES, "test_a_row_given_up_long_ago_keeps_its_date_through_redrives"),
    ),
    Mutant(
        rule="the end of the redrives is told once more",
        file=SQL,
        old="u.gave_up and (l.was_failed_at is null or u.redrive_in is null) as tell",
        new="u.gave_up and l.was_failed_at is null as tell",
        seen_by=at(RULES, "test_the_end_of_the_redrives_is_told_once_more"),
    ),
    Mutant(
        rule="an ambiguous failure makes the row uncertain",
        file=SQL,
        old="case when s.ambiguous then greatest(d.uncertain_at, now() - s.settled_for)"
        " else d.uncertain_at end",
        new="d.uncertain_at",
        seen_by=at(
            SETTLE, "test_an_ambiguous_failure_makes_the_row_uncertain_and_a_certain_one_leaves_it"
        ),
    ),
    Mutant(
        rule="a certain failure leaves uncertainty as it is",
        file=SQL,
        old="now() - s.settled_for) else d.uncertain_at end",
        new="now() - s.settled_for) end",
        seen_by=at(
            SETTLE, "test_an_ambiguous_failure_makes_the_row_uncertain_and_a_certain_one_leaves_it"
        ),
    ),
    Mutant(
        rule="a failure never moves uncertainty back",
        file=SQL,
        old="greatest(d.uncertain_at, now() - s.settled_for)",
        new="now() - s.settled_for",
        seen_by=at(RULES, "test_uncertainty_is_never_moved_back_by_an_answer_that_is_settled"),
    ),
    Mutant(
        rule="after an answer in full nothing is under way any more",
        file=SQL,
        old="greatest(d.uncertain_at, now() - s.settled_for)",
        new="greatest(d.uncertain_at, now())",
        seen_by=at(SETTLE, "test_an_answer_given_in_full_leaves_nothing_under_way"),
    ),
    Mutant(
        rule="a release gives the attempt back",
        file=SQL,
        old="    attempts = greatest(d.attempts - 1, 0),\n",
        new="",
        seen_by=at(SETTLE, "test_waiting_costs_no_attempt"),
    ),
    Mutant(
        rule="what was not begun keeps its place in the queue",
        file=SQL,
        old="coalesce(now() + s.due_in, d.due_at)",
        new="coalesce(now() + s.due_in, now())",
        seen_by=at(SETTLE, "test_giving_back_keeps_the_place_in_the_queue_and_leaves_no_trace"),
    ),
    Mutant(
        rule="an adopting release ends uncertainty",
        file=SQL,
        old="case when s.certain then null else d.uncertain_at end",
        new="d.uncertain_at",
        seen_by=at(RULES, "test_only_a_release_that_is_certain_ends_the_doubt[True]"),
    ),
    Mutant(
        rule="any other release leaves uncertainty as it is",
        file=SQL,
        old="case when s.certain then null else d.uncertain_at end",
        new="null",
        seen_by=at(RULES, "test_only_a_release_that_is_certain_ends_the_doubt[False]"),
    ),
    Mutant(
        rule="settle locks bookings first",
        file=SETTLE_PY,
        old="            deferred = await _lock(conn, finished)\n",
        new="            deferred: list[Finished] = []\n",
        seen_by=at(LOCK_ORDER, "test_settling_failures_locks_in_order"),
    ),
    Mutant(
        rule="settle skips bookings that somebody holds",
        file=BOOKINGS,
        old="order by b.id for no key update skip locked)",
        new="order by b.id for no key update)",
        seen_by=at(RULES, "test_a_settle_does_not_wait_for_a_booking_that_somebody_holds"),
    ),
    Mutant(
        rule="settle locks deliveries by id",
        file=SQL,
        old="where d.id = any (%(ids)s::bigint[]) order by d.id for no key update),\n",
        new="where d.id = any (%(ids)s::bigint[]) for no key update),\n",
        nth=(1, 3),
        seen_by=at(LOCK_ORDER, "test_every_statement_that_waits_for_rows_takes_them_by_id"),
    ),
    Mutant(
        rule="all kinds of outcomes lock their deliveries together, by id",
        file=SETTLE_PY,
        old="    if sum(map(bool, kinds)) > 1:\n",
        new="    if False:\n",
        seen_by=at(LOCK_ORDER, "test_settling_many_outcomes_locks_the_deliveries_by_id"),
    ),
    Mutant(
        rule="the alerts' own deliveries are settled in a transaction of their own",
        file=SETTLE_PY,
        old="    return [batch for batch in (ours, channels) if batch]\n",
        new="    return [[*ours, *channels]]\n",
        seen_by=at(LOCKS, "test_the_alerts_own_deliveries_are_settled_apart_from_all_others"),
    ),
    Mutant(
        rule="an alert is locked before its own delivery",
        file=SETTLE_PY,
        old="            await _lock_alerts(conn, mine)\n",
        new="",
        seen_by=at(LOCK_ORDER, "test_settling_mails_locks_their_alerts_first"),
    ),
    Mutant(
        rule="what heals and what is raised lock their alerts together, by id",
        file=SETTLE_PY,
        old="    if ended or (raised and written.held):\n",
        new="    if False:\n",
        seen_by=at(LOCKS, "test_what_heals_and_what_is_raised_lock_their_alerts_by_id"),
    ),
    Mutant(
        rule="the alert is part of the settling transaction",
        file=SETTLE_PY,
        old="            told = await _apply(conn, accepted, written)\n",
        new="    with translated():\n        told = await _apply(conn, accepted, written)\n",
        seen_by=at(
            RULES,
            "test_without_its_alert_a_row_is_not_given_up",
            "test_the_columns_of_a_booking_change_with_its_delivery_or_not_at_all",
        ),
    ),
    Mutant(
        rule="nobody is told before a row is given up",
        file=SETTLE_PY,
        old="        and (not effect.only_if_given_up or item.claim.id in written.tell)\n",
        new="",
        seen_by=at(SETTLE, "test_giving_up_is_about_the_version_that_was_read"),
    ),
    Mutant(
        rule="the last attempt raises the alert",
        file=SETTLE_PY,
        old="        await alerts.raise_alerts(conn, raised, channels=ALERT_CHANNELS)\n",
        new="",
        seen_by=at(RULES, "test_the_end_of_the_redrives_is_told_once_more"),
    ),
    Mutant(
        rule="success resolves the alert",
        file=SETTLE_PY,
        old="told |= bool(await alerts.heal(conn, written.held, channels=ALERT_CHANNELS))",
        new="pass",
        seen_by=at(SETTLE, "test_a_failure_that_time_can_heal_is_redriven_without_a_second_alert"),
    ),
    Mutant(
        rule="effects of a refused result are not applied",
        file=SETTLE_PY,
        old="await _apply(conn, accepted, written)",
        new="await _apply(conn, mine, written)",
        seen_by=at(RULES, "test_nothing_of_a_late_result_is_applied"),
    ),
    Mutant(
        rule="the reservation is recorded",
        file=SETTLE_PY,
        old="    await _hold(conn, _of_type(accepted, ReservationHeld))\n",
        new="",
        seen_by=at(WITH_BOOKINGS, "test_one_settle_mirrors_the_booking_and_the_reservation"),
    ),
    Mutant(
        rule="further reservations of a booking are counted",
        file=SQL,
        old="r.reservation_id is distinct from excluded.reservation_id then 1 else 0 end",
        new="r.reservation_id is distinct from excluded.reservation_id then 0 else 0 end",
        seen_by=at(RULES, "test_each_further_reservation_of_a_booking_is_counted"),
    ),
    Mutant(
        rule="the booking's columns are mirrored",
        file=SETTLE_PY,
        old="        await bookings.mirror(conn, mirrored)\n",
        new="        pass\n",
        seen_by=at(WITH_BOOKINGS, "test_one_settle_mirrors_the_booking_and_the_reservation"),
    ),
    Mutant(
        rule="a booking that is given up shows as failed",
        file=BOOKINGS,
        old="case when d.failed_at is not null or d.discarded_at is not null then 'failed'",
        new="case when d.discarded_at is not null then 'failed'",
        seen_by=at(WITH_BOOKINGS, "test_a_booking_shows_pending_with_its_error_then_failed"),
    ),
    Mutant(
        rule="a booking shows how often it was tried",
        file=BOOKINGS,
        old="as synced_at, d.attempts, r.reservation_id",
        new="as synced_at, 0 as attempts, r.reservation_id",
        seen_by=at(WITH_BOOKINGS, "test_a_booking_shows_pending_with_its_error_then_failed"),
    ),
)
