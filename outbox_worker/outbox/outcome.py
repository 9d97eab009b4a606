"""What a handler may answer about one claim, as a value; settling it is the engine's business."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias


class AttemptOutcome(StrEnum):
    """How one call ended; the values are those of ``outbox.attempt.outcome``."""

    HELD = "held"
    NOTHING = "nothing"
    TEST = "test"
    NOT_CONFIGURED = "not_configured"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    REJECTED = "rejected"
    RATE_LIMITED = "rate_limited"
    MISCONFIGURED = "misconfigured"
    WAITING = "waiting"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The destination holds the version that was claimed.

    Args:
        record: ``HELD``, ``NOTHING`` (no call was needed), ``TEST`` or ``NOT_CONFIGURED``.
        http_status: Status of the last answer, if there was one.
    """

    record: AttemptOutcome = AttemptOutcome.HELD
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not now, and not charged as an attempt.

    Args:
        due_in: From the settle on; None keeps the row's place in the queue.
        record: Written as an attempt row when a call was made (``RATE_LIMITED``, ``MISCONFIGURED``,
            ``WAITING``, and ``HELD`` where more calls follow); None: no call.
        code: Stable snake_case reason.
        message: One sentence for operators, without guest data.
        certain: Whether the outcome of earlier writes is now known (a reservation was adopted),
            which ends the uncertainty.
        everybodys: With ``MISCONFIGURED``: whether whoever asks is refused, whatever the booking.
        outage: Whether nobody can call the destination at present, whatever the row: opens its
            circuit at once.
        rest: With ``outage``: for how long it is no use to try again; None: not known.
    """

    due_in: timedelta | None
    record: AttemptOutcome | None = None
    code: str
    message: str
    http_status: int | None = None
    certain: bool = False
    everybodys: bool = False
    outage: bool = False
    rest: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A failed attempt that time may heal.

    Args:
        code: Stable snake_case reason, such as ``http_503`` or ``timeout``.
        message: One sentence for operators, without guest data; cut to 500 characters.
        ambiguous: Whether a write was sent and its effect is unknown.
        settled_for: With ``ambiguous``: how long the write is known to have ended already. Zero for
            a break or a time-out; the whole quiet period for a 5xx that the destination itself
            answered in full, as nothing is under way then.
        outage: Whether the destination did not answer at all, or with a 5xx: counts for its
            circuit.
    """

    code: str
    message: str
    ambiguous: bool = False
    outage: bool = False
    settled_for: timedelta = timedelta(0)
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Time will not heal this: a person's turn.

    Args:
        code: Stable snake_case reason, such as ``listing_missing``.
        message: One sentence for operators, without guest data; cut to 500 characters.
    """

    code: str
    message: str
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """The claim ended before anything was sent: the row goes back uncharged, as never claimed."""

    code: str


Outcome: TypeAlias = Done | Wait | Retry | Park | Abandon
