"""The end of a chaos run: a wrong reservation is found, and a token that nothing forced."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.chaos.checker import Rule
from tests.chaos.checker_end import check_end
from tests.chaos.history import Booking, Held, History, State, TokenChange, Tokens

NOON = datetime(2027, 1, 2, 12, tzinfo=UTC)
LIFE = timedelta(seconds=24)
BOOKING = Booking(
    id=UUID("00000000-0000-4000-8000-00000000000a"),
    reference="ADA",
    states=[
        State(
            status="confirmed",
            check_in=date(2027, 3, 1),
            check_out=date(2027, 3, 3),
            total=Decimal("500.00"),
        )
    ],
    wish="a cot",
)
HELD = Held(
    reservation_id="r1",
    reference="ADA",
    status="confirmed",
    guests=2,
    notes="a cot\nBooking Reference: ADA",
)
FIRST = TokenChange(serial=1, since=NOON)
TOKENS = Tokens(changes=[FIRST], revoked=[], charged=2, arrived=1, limited=0)
GOOD = History(
    bookings=[BOOKING],
    deliveries=[],
    effects=[],
    acks=[],
    events=frozenset(),
    claims=[],
    gave_up=[],
    named=[],
    alerts=frozenset(),
    mails=[],
    leaks=[],
    exits={},
    drained_in=LIFE,
    bound=LIFE,
    held=[HELD],
    tokens=TOKENS,
)


def rules(history: History) -> list[Rule]:
    return [violation.rule for violation in check_end(history)]


def second(*, after: timedelta, refused: bool) -> TokenChange:
    return TokenChange(
        serial=2,
        since=NOON + after,
        before_since=NOON,
        before_until=NOON + LIFE,
        before_refused=refused,
    )


def test_a_good_end_breaks_no_rule() -> None:
    assert rules(GOOD) == []
    assert rules(replace(GOOD, tokens=None, held=None)) == []


@pytest.mark.parametrize(
    ("held", "broken"),
    [
        ([], Rule.LOST),
        ([HELD, replace(HELD, reservation_id="r2")], Rule.DOUBLED),
        ([replace(HELD, status="canceled")], Rule.LOST),
        ([replace(HELD, notes="an older wish\nBooking Reference: ADA")], Rule.WRONG),
        ([replace(HELD, notes="")], Rule.WRONG),
        ([replace(HELD, guests=1)], Rule.WRONG),
        ([replace(HELD, status="inquiry")], Rule.WRONG),
    ],
)
def test_a_reservation_that_is_not_as_the_site_wants_it_is_found(
    held: list[Held], broken: Rule
) -> None:
    assert rules(replace(GOOD, held=held)) == [broken]


@pytest.mark.parametrize(
    "changes", [{"limited": 1}, {"arrived": 3}, {"changes": [second(after=LIFE / 2, refused=True)]}]
)
def test_a_token_that_nothing_forced_is_found(changes: dict[str, Any]) -> None:
    assert rules(replace(GOOD, tokens=replace(TOKENS, **changes))) == [Rule.SPENT]


def test_a_token_that_ends_or_was_revoked_is_replaced() -> None:
    ended = second(after=LIFE - timedelta(seconds=1), refused=False)
    revoked = second(after=LIFE / 2, refused=True)
    tokens = replace(TOKENS, changes=[FIRST, ended])
    assert rules(replace(GOOD, tokens=tokens)) == []
    tokens = replace(TOKENS, changes=[FIRST, revoked], revoked=[NOON + LIFE / 3])
    assert rules(replace(GOOD, tokens=tokens)) == []
    unseen = replace(tokens, changes=[replace(revoked, before_refused=False)])
    assert rules(replace(GOOD, tokens=unseen)) == [Rule.SPENT]
