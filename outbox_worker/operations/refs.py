"""What a person means by a REF: a booking, an inbound event or an alert's delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from outbox_worker.database import Connection, Row
from outbox_worker.errors import AmbiguousRefError, NotFoundError
from outbox_worker.outbox.delivery import DeliveryId, Destination
from outbox_worker.sql import query

_CANDIDATES = 10
_UUID_DIGITS = 32
_SHORTEST_UUID_PREFIX = 4
_BIGINT_DIGITS = 18


class Subject(StrEnum):
    """What a reference leads to."""

    BOOKING = "booking"
    EVENT = "event"
    ALERT = "alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing that can be shown or asked for again.

    Args:
        subject: What it is.
        key: Booking id, event id or alert id, as text; the key of its delivery.
        name: What people call it.
        delivery_id: Set when the reference was a delivery id; an alert has one per channel.
    """

    subject: Subject
    key: str
    name: str
    delivery_id: DeliveryId | None = None

    @property
    def destination(self) -> Destination:
        """Where its delivery goes; of an alert's two channels the first."""
        match self.subject:
            case Subject.BOOKING:
                return Destination.GUESTLY
            case Subject.EVENT:
                return Destination.INBOX
            case Subject.ALERT:
                return Destination.EMAIL


async def resolve(conn: Connection, ref: str) -> Target:
    """Find what a reference means.

    Args:
        conn: Any connection; only reads.
        ref: Booking reference or id, delivery id, ``evt_…``, ``pi_…``, reservation id, or the
            beginning of one of these (but the delivery id); capital letters do not matter.

    Raises:
        NotFoundError: Nothing fits.
        AmbiguousRefError: Several things fit; names up to ten of them.
    """
    word = ref.strip()
    if not word or "\0" in word:
        raise NotFoundError("nothing is known under an empty reference", hint=_HINT)
    if not_utf8(word):
        raise NotFoundError(
            f"nothing is known under {word!r}: its bytes are no text in UTF-8", hint=_HINT
        )
    uuid = _uuid(word)
    exact = await _targets(
        conn,
        "ref_exact",
        {
            "ref": word,
            "words": [word, word.upper()],
            "uuid": uuid,
            "number": int(word) if word.isdecimal() and len(word) <= _BIGINT_DIGITS else None,
            "limit": _CANDIDATES + 1,
        },
    )
    if exact:
        # a payment whose events wait for a booking, and a booking that has come: the booking it is
        bookings = [target for target in exact if target.subject is Subject.BOOKING]
        return _only(word, bookings or exact)
    low, high = _uuid_range(word)
    found = await _targets(
        conn,
        "ref_prefix",
        {
            "pattern": f"{_escaped(word.lower())}%",
            "payment": word.lower().startswith("pi_"),
            "low": low,
            "high": high,
            "limit": _CANDIDATES + 1,
        },
    )
    if not found:
        raise NotFoundError(f"nothing is known under {word!r}", hint=_HINT)
    return _only(word, found)


def not_utf8(word: str) -> bool:
    """Whether it came from a command line with bytes that are no UTF-8: Postgres takes no such."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return True
    return False


_HINT = (
    "Give a booking reference or id, a delivery id, evt_..., pi_..., a reservation id,"
    " or the beginning of one."
)


async def _targets(conn: Connection, name: str, parameters: Mapping[str, Any]) -> list[Target]:
    cursor = await conn.execute(query(name), parameters)
    found: dict[tuple[Subject, str, DeliveryId | None], Target] = {}
    for row in await cursor.fetchall():
        target = _target(row)
        # a delivery of a booking or event means just that; only an alert has one per channel
        identity = target.delivery_id if target.subject is Subject.ALERT else None
        known = found.get((target.subject, target.key, identity))
        if known is None or known.name == known.key:
            found[target.subject, target.key, identity] = target
    return list(found.values())


def _target(row: Row) -> Target:
    delivery_id = row["delivery_id"]
    return Target(
        subject=Subject(row["subject"]),
        key=row["key"],
        name=row["name"]
        or (f"delivery {delivery_id}" if row["subject"] == "alert" else row["key"]),
        delivery_id=None if delivery_id is None else DeliveryId(delivery_id),
    )


def _only(word: str, targets: list[Target]) -> Target:
    if len(targets) == 1:
        return targets[0]
    names = sorted({target.name for target in targets})
    if len(names) < len(targets):
        # the same reference twice, or none at all: ids tell them apart
        names = sorted(f"{target.name} ({target.subject} {target.key})" for target in targets)
    more = ("...",) if len(names) > _CANDIDATES else ()
    raise AmbiguousRefError(
        f"{word!r} fits {'more than ' if more else ''}{min(len(names), _CANDIDATES)} things",
        candidates=(*names[:_CANDIDATES], *more),
        hint="Give more of it.",
    )


def _uuid(word: str) -> UUID | None:
    try:
        return UUID(word)
    except ValueError:
        return None


def _uuid_range(word: str) -> tuple[UUID | None, UUID | None]:
    digits = word.replace("-", "").lower()
    if (
        not _SHORTEST_UUID_PREFIX <= len(digits) < _UUID_DIGITS
        or not digits.isascii()
        or set(digits) - set("0123456789abcdef")
    ):
        return None, None
    return UUID(digits.ljust(_UUID_DIGITS, "0")), UUID(digits.ljust(_UUID_DIGITS, "f"))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
