"""When a write may leave and what a claim may conclude, over thousands of histories."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from outbox_worker.handlers import decide
from outbox_worker.pms.port import RemoteReservation
from tests.support_virtual_pms import Rules, faults_of

HISTORIES = 4_000
NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
QUIET = timedelta(seconds=30)
WANTED = decide.Wanted(
    cancelled=False,
    fingerprint="wanted",
    listing_id="listing",
    check_in=date(2027, 5, 1),
    check_out=date(2027, 5, 5),
    guest_email="guest@example.com",
)
CANCELLED = decide.Wanted(
    cancelled=True,
    fingerprint="cancelled",
    listing_id=None,
    check_in=date(2027, 5, 1),
    check_out=date(2027, 5, 5),
    guest_email=None,
)


def doubt(*, ago: float) -> decide.Doubt:
    return decide.Doubt(until=NOW - timedelta(seconds=ago), quiet=QUIET, now=NOW)


def hit(reservation_id: str = "r1", **changes: Any) -> RemoteReservation:
    values: dict[str, Any] = {
        "reservation_id": reservation_id,
        "reference": "LA2026-1",
        "listing_id": "listing",
        "check_in": date(2027, 5, 1),
        "check_out": date(2027, 5, 5),
        "guest_email": "guest@example.com",
        "status": "confirmed",
        "fingerprint": "wanted",
        **changes,
    }
    return RemoteReservation(**values)


def test_no_history_doubles_loses_or_leaves_a_booking_stale() -> None:
    wrong = {seed: found for seed in range(HISTORIES) if (found := faults_of(seed, Rules()))}
    assert wrong == {}, "seed: what is wrong at its end"


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (Rules(quiet_s=0), "duplicate"),
        (Rules(forget=True), "duplicate"),
        (Rules(adopt_and_change=True), "stale or missing"),
        (Rules(trust_reads=True), "stale or missing"),
    ],
    ids=["no quiet period", "a failure clears the doubt", "adopt and change", "reads are trusted"],
)
def test_leaving_out_any_rule_is_seen(broken: Rules, expected: str) -> None:
    found = Counter(fault for seed in range(HISTORIES) for fault in faults_of(seed, broken))
    assert found[expected] > 0


def test_a_certain_new_booking_is_looked_up_before_it_is_created() -> None:
    step = decide.first_step(WANTED, known=None, doubt=None, look_before_create=True)
    assert step == decide.LookUp()
    assert decide.after_look_up(WANTED, [], doubt=None) == decide.Create()


def test_the_look_up_before_a_create_can_be_turned_off_but_not_while_in_doubt() -> None:
    certain = decide.first_step(WANTED, known=None, doubt=None, look_before_create=False)
    assert certain == decide.Create()
    in_doubt = decide.first_step(WANTED, known=None, doubt=doubt(ago=99), look_before_create=False)
    assert in_doubt == decide.LookUp()


def test_a_known_reservation_is_not_written_before_the_quiet_period_is_over() -> None:
    known = decide.Known(reservation_id="r1", fingerprint="wanted")
    early = decide.first_step(WANTED, known=known, doubt=doubt(ago=10), look_before_create=True)
    assert early == decide.AwaitQuiet(rest=timedelta(seconds=20))
    late = decide.first_step(WANTED, known=known, doubt=doubt(ago=31), look_before_create=True)
    assert late == decide.Change(reservation_id="r1"), "an equal record proves nothing after doubt"


def test_an_absent_reservation_is_not_created_before_the_quiet_period_is_over() -> None:
    early = decide.after_look_up(WANTED, [], doubt=doubt(ago=10))
    assert early == decide.AwaitQuiet(rest=timedelta(seconds=20))
    assert decide.after_look_up(WANTED, [], doubt=doubt(ago=30)) == decide.Create()


def test_a_cancelled_booking_that_was_never_there_is_nothing_to_do() -> None:
    step = decide.first_step(CANCELLED, known=None, doubt=None, look_before_create=True)
    assert step == decide.Nothing()
    assert decide.after_look_up(CANCELLED, [], doubt=doubt(ago=30)) == decide.Nothing()


def test_a_cancelled_booking_is_cancelled_once() -> None:
    known = decide.Known(reservation_id="r1", fingerprint="wanted")
    step = decide.first_step(CANCELLED, known=known, doubt=None, look_before_create=True)
    assert step == decide.Cancel(reservation_id="r1")
    done = decide.Known(reservation_id="r1", fingerprint="cancelled")
    again = decide.first_step(CANCELLED, known=done, doubt=None, look_before_create=True)
    assert again == decide.Nothing()


@pytest.mark.parametrize(
    ("changes", "ours"),
    [
        ({}, True),
        ({"guest_email": "GUEST@example.com", "check_in": date(2028, 1, 1)}, True),
        ({"guest_email": None}, True),
        ({"guest_email": "other@example.com", "check_in": date(2028, 1, 1)}, False),
        ({"guest_email": None, "check_out": date(2028, 1, 1)}, False),
        ({"guest_email": None, "check_out": date(2028, 1, 1), "marked": True}, True),
        ({"listing_id": "another", "marked": True}, True),
        ({"listing_id": "another", "check_in": date(2028, 1, 1), "marked": True}, True),
        ({"listing_id": "another"}, False),
        ({"listing_id": None}, True),
    ],
)
def test_a_hit_is_ours_by_our_mark_or_by_listing_and_stay_or_guest(
    changes: dict[str, Any], *, ours: bool
) -> None:
    assert decide.is_ours(hit(**changes), WANTED) is ours


def test_ours_on_another_listing_is_adopted_to_be_moved_next() -> None:
    """The owner has moved it, or the site has, while its create was in doubt: it is no second."""
    moved = hit(listing_id="another", fingerprint=None, marked=True)
    step = decide.after_look_up(WANTED, [moved], doubt=doubt(ago=1))
    assert step == decide.Adopt(reservation_id="r1", as_wanted=False)


def test_a_foreign_hit_stops_everything() -> None:
    step = decide.after_look_up(WANTED, [hit(listing_id="another")], doubt=None)
    assert isinstance(step, decide.Refuse)
    assert (step.code, step.keep) == ("foreign_reservation", None)


def test_two_of_ours_keep_the_oldest_on_record_and_stop() -> None:
    step = decide.after_look_up(WANTED, [hit("old"), hit("new")], doubt=doubt(ago=99))
    assert isinstance(step, decide.Refuse)
    assert (step.code, step.keep) == ("several_reservations", "old")


def test_one_of_ours_among_strangers_is_adopted() -> None:
    step = decide.after_look_up(WANTED, [hit("x", listing_id="another"), hit("r1")], doubt=None)
    assert step == decide.Adopt(reservation_id="r1", as_wanted=True)


def test_a_hit_in_another_state_is_adopted_to_be_changed_next() -> None:
    step = decide.after_look_up(WANTED, [hit(fingerprint="else")], doubt=doubt(ago=1))
    assert step == decide.Adopt(reservation_id="r1", as_wanted=False)
    unknown = decide.after_look_up(WANTED, [hit(fingerprint=None)], doubt=None)
    assert unknown == decide.Adopt(reservation_id="r1", as_wanted=False)


def test_a_cancelled_hit_of_a_cancelled_booking_is_as_wanted() -> None:
    step = decide.after_look_up(CANCELLED, [hit(status="canceled")], doubt=doubt(ago=1))
    assert step == decide.Adopt(reservation_id="r1", as_wanted=True)
