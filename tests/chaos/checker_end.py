"""Whether the PMS holds in the end what the site wants, and what its tokens have cost. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from tests.chaos.checker import LIVE, Rule, Violation
from tests.chaos.history import CANCELED, Booking, Held, History, TokenChange, Tokens

_GUESTS = 2
#: A token is renewed in the last part of its life at the earliest.
_EARLIEST = 24
#: The harness and Postgres take the time one after the other.
_SLACK = timedelta(seconds=0.5)


def check_end(history: History) -> tuple[Violation, ...]:
    """Every broken rule of these; none for an end that may come."""
    return (*_final(history), *_spent(history.tokens))


def _final(history: History) -> Iterator[Violation]:
    """One live reservation for each live booking, its guests and its notes those of now."""
    if history.held is None:
        return
    held: dict[str, list[Held]] = defaultdict(list)
    for one in history.held:
        if one.status != CANCELED:
            held[one.reference].append(one)
    owed = {*history.owed}
    for booking in history.bookings:
        if booking.final.status not in LIVE or str(booking.id) in owed:
            continue  # the effects have told of those
        mine = held[booking.reference]
        if len(mine) != 1:
            detail = f"the PMS holds {len(mine)} reservations for it"
            rule = Rule.DOUBLED if mine else Rule.LOST
            yield Violation(rule=rule, reference=booking.reference, detail=detail)
        for one in mine:
            if one.notes != _notes(booking):
                yield _wrong(booking, one, f"says {one.notes!r}")
            if one.guests != _GUESTS or one.status != "confirmed":
                yield _wrong(booking, one, f"is {one.status} for {one.guests}")


def _notes(booking: Booking) -> str:
    wish = () if booking.wish is None else (booking.wish,)
    return "\n".join((*wish, f"Booking Reference: {booking.reference}"))


def _wrong(booking: Booking, one: Held, what: str) -> Violation:
    detail = f"{one.reservation_id} {what}; the guest's wish is {booking.wish!r}"
    return Violation(rule=Rule.WRONG, reference=booking.reference, detail=detail)


def _spent(tokens: Tokens | None) -> Iterator[Violation]:
    """Nobody replaces a token that is good, and the quota is never what stops a request."""
    if tokens is None:
        return
    if tokens.limited:
        yield Violation(rule=Rule.SPENT, detail=f"{tokens.limited} requests over the day's quota")
    if tokens.arrived > tokens.charged:
        detail = f"{tokens.arrived} requests arrived, {tokens.charged} were put on record"
        yield Violation(rule=Rule.SPENT, detail=detail)
    for change in tokens.changes:
        if not _forced(change, tokens):
            detail = f"token {change.serial} was requested at {change.since:%H:%M:%S.%f} though the"
            detail += f" one before was good until {change.before_until:%H:%M:%S.%f}"
            yield Violation(rule=Rule.SPENT, detail=detail)


def _forced(change: TokenChange, tokens: Tokens) -> bool:
    since, until = change.before_since, change.before_until
    if since is None or until is None:
        return True
    if change.since >= until - (until - since) / _EARLIEST - _SLACK:
        return True
    ended = any(since - _SLACK <= at <= change.since + _SLACK for at in tokens.revoked)
    return ended and change.before_refused
