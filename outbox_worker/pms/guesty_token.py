"""The access token of Guesty: what an adapter asks for, and when a new one is requested. Pure.

Guesty gives at most five tokens in 24 hours to a client, and each lives for 24 hours. So there is
one for all workers, and whatever goes wrong must not spend the day's requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from outbox_worker.gate.token_state import UNFINISHED, Identity, TokenRow
from outbox_worker.pms.guesty_token_words import CREDENTIALS_REFUSED, failed, quota_spent
from outbox_worker.pms.port import Misconfigured, Unavailable

#: Requests of one client in 24 hours.
QUOTA = 5
#: Longer than 24 hours: a request arrives later than it was counted.
QUOTA_WINDOW = timedelta(hours=24, minutes=1)

#: Renewed early between these parts of its life before its end: 60 and 30 minutes of 24 hours.
_EARLIEST = 24
_LATEST = 48
#: Not used any more in the last part of its life, a minute of 24 hours: a call takes its time.
_SPARE = 1440
#: An early renewal that failed is not repeated before.
_EARLY_PACE = timedelta(minutes=1)

#: Between requests after one, two, three, and more that failed in a row.
_PACE = (timedelta(0), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
#: Before the last request of the quota, after one that failed: the outage of an hour or two that
#: has taken the others must not end in a day without a token.
_LAST_PACE = timedelta(hours=6)
#: Credentials that were refused are not tried again before.
_REFUSED_PAUSE = timedelta(hours=6)

#: A token that is refused when it is older than this part of its life may have ended; a younger one
#: lacks a permission.
_YOUNG = 24
#: The same of one that was refused when it was new: whoever lacks a permission must not spend a
#: token an hour on it.
_YOUNG_FORBIDDEN = 4


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token.

    Args:
        value: Secret: never logged, never part of a message.
        serial: Which of the fleet's tokens it is; a newer one has a higher number.
    """

    value: str = field(repr=False)
    serial: int


class TokenSource(Protocol):
    """Where an adapter gets its token."""

    async def token(self) -> Token | Unavailable | Misconfigured:
        """The token to send; asked before every call, and cheap while it is good."""

    async def refused(self, token: Token, *, http_status: int) -> Unavailable | Misconfigured:
        """The PMS answered 401 or 403 to a call with that token; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do about the token.

    Args:
        token: One that may be used now.
        request: Whether a new one is to be requested, by one worker.
        refusal: Neither: why not.
    """

    token: Token | None = None
    request: bool = False
    refusal: Unavailable | Misconfigured | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When to do what about a good token; aware UTC.

    Args:
        early: From then on it is renewed.
        end: From then on it is not used any more.
    """

    early: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the next call meets.

    Args:
        kept: There is a token for it, and none is requested.
        waits_until: None can be had before; aware UTC. None: at once.
    """

    kept: bool = False
    waits_until: datetime | None = None


class Refusal(StrEnum):
    """What it means that the API refused a token."""

    #: There is a newer one already.
    REPLACED = "replaced"
    #: It has ended, or may have.
    ENDED = "ended"
    #: It is too new to have ended.
    FORBIDDEN = "forbidden"
    #: It may have ended, but there can be no other one yet.
    SPENT = "spent"


def times(row: TokenRow, ours: Identity, *, share: float) -> Times | None:
    """When the row's token is renewed and not used any more; None: there is none of ours.

    Args:
        row: As it was read.
        ours: Who asks.
        share: In [0, 1), by chance: the workers do not all begin at once.
    """
    if row.refused or not _ours(row, ours) or row.since is None or row.expires_at is None:
        return None
    life = row.expires_at - row.since
    lead = life / _LATEST + share * (life / _EARLIEST - life / _LATEST)
    return Times(early=row.expires_at - lead, end=row.expires_at - life / _SPARE)


def decide(row: TokenRow, ours: Identity, *, share: float, locked: bool) -> Plan:
    """What to do.

    Args:
        row: As it was read.
        ours: Who asks.
        share: See `times`.
        locked: Whether nobody else can be requesting one: then one that has not ended was lost.
    """
    good = times(row, ours, share=share)
    if good is not None and row.value is not None and row.now < good.end:
        token = Token(row.value, row.serial)
        return Plan(token=token, request=row.now >= good.early and _may_early(row, ours))
    if row.code == UNFINISHED and row.failing == ours.credentials and not locked:
        return Plan(request=True)
    refusal = _held(row, ours)
    last = _last_resort(row, ours)
    if last is not None and not _is_credentials(refusal):
        return Plan(token=last)
    return Plan(request=refusal is None, refusal=refusal)


def spent(row: TokenRow, ours: Identity) -> int:
    """Requests that the quota counts at present."""
    return len(_counted(row, ours))


def left(row: TokenRow) -> int:
    """Requests that the quota still grants to whoever has requested last."""
    if not row.requests:
        return QUOTA
    return max(0, QUOTA - spent(row, _last(row)))


def outlook(row: TokenRow) -> Outlook:
    """What whoever has requested last has to reckon with."""
    last = _last(row)
    plan = decide(row, last, share=0.0, locked=False)
    if plan.token is not None:
        return Outlook(kept=True)
    if plan.request:
        return Outlook()
    return Outlook(waits_until=max(next_request_at(row, last), row.not_before or row.now))


def next_request_at(row: TokenRow, ours: Identity) -> datetime:
    """When the quota allows the next request; aware UTC."""
    counted = _counted(row, ours)
    return row.now if len(counted) < QUOTA else counted[-QUOTA] + QUOTA_WINDOW


def failures(row: TokenRow, ours: Identity) -> int:
    """Requests in a row that brought us no token."""
    return row.failures if row.failing == ours.credentials else 0


def pace(in_a_row: int) -> timedelta:
    """The wait after so many requests in a row that failed, 1 or more."""
    return _PACE[min(in_a_row, len(_PACE)) - 1]


def pause_after(code: str, *, in_a_row: int, counted: int, retry_after: timedelta) -> timedelta:
    """How long no token is requested after one that failed.

    Args:
        code: How it failed.
        in_a_row: Failures in a row, this one included.
        counted: Requests that the quota counts, this one included if it was sent.
        retry_after: What the endpoint asked for.
    """
    if code == CREDENTIALS_REFUSED:
        return _REFUSED_PAUSE
    least = _LAST_PACE if counted == QUOTA - 1 else pace(in_a_row)
    return max(least, retry_after)


def judge(row: TokenRow, token: Token, ours: Identity) -> Refusal:
    """What it means that the API refused ``token``."""
    if row.serial != token.serial or row.credentials != ours.credentials:
        return Refusal.REPLACED
    if row.since is None or row.expires_at is None or row.now >= row.expires_at:
        return Refusal.ENDED
    life = row.expires_at - row.since
    young = life / (_YOUNG_FORBIDDEN if row.forbidden else _YOUNG)
    if not row.refused and row.now - row.since < young:
        return Refusal.FORBIDDEN
    return Refusal.ENDED if spent(row, ours) < QUOTA else Refusal.SPENT


def _last_resort(row: TokenRow, ours: Identity) -> Token | None:
    """A token that was given up and has not ended, when there can be no other one.

    Whoever gave the permission that it lacked is served by it; else it is refused once more.
    """
    if spent(row, ours) < QUOTA or not _ours(row, ours):
        return None
    kept = times(replace(row, refused=False), ours, share=0.0)
    if kept is None or row.value is None or row.now >= kept.end:
        return None
    return Token(row.value, row.serial)


def _is_credentials(refusal: Unavailable | Misconfigured | None) -> bool:
    return isinstance(refusal, Misconfigured) and refusal.code == CREDENTIALS_REFUSED


def _last(row: TokenRow) -> Identity:
    """Whoever has requested last."""
    client = row.requests[-1].client if row.requests else ""
    return Identity(client=client, credentials=row.failing or "")


def _ours(row: TokenRow, ours: Identity) -> bool:
    """Whether there is a token, and it is ours."""
    return row.value is not None and row.credentials == ours.credentials


def _held(row: TokenRow, ours: Identity) -> Unavailable | Misconfigured | None:
    """Why no token is requested now."""
    code = row.code if row.failing == ours.credentials else None
    wait = timedelta(0) if row.not_before is None else row.not_before - row.now
    if code == CREDENTIALS_REFUSED and wait > timedelta(0):
        return failed(code, wait=wait)
    if spent(row, ours) >= QUOTA:
        return quota_spent(QUOTA, next_request_at(row, ours))
    if code is not None and wait > timedelta(0):
        return failed(code, wait=wait)
    return None


def _may_early(row: TokenRow, ours: Identity) -> bool:
    """Whether a token may be requested while there is a good one: never the last of the quota."""
    if spent(row, ours) >= QUOTA - 1:
        return False
    if row.failing != ours.credentials or row.code is None:
        return True
    paced = row.not_before is None or row.now >= row.not_before
    last = row.last_request
    return paced and (last is None or row.now >= last + _EARLY_PACE)


def _counted(row: TokenRow, ours: Identity) -> list[datetime]:
    return [
        each.at
        for each in row.requests
        if each.client == ours.client and each.at > row.now - QUOTA_WINDOW
    ]
