"""What has been asked of the stand-in: the request log, counters and the latest calls."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from outbox_worker.simulator.effect import EffectKind
from outbox_worker.simulator.journal import Journal
from outbox_worker.simulator.reservation import timestamp

_RECENT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what became of it; no guest data.

    Args:
        n: Number of the request.
        at: When it arrived; aware, UTC.
        path: Without the query.
        operation: The call of the contract; None: not one of its calls, or not authorised.
        reference: The confirmationCode that it is about, where it is known.
        outcome: HTTP status as text, or ``no answer``.
        code: The answer's ``error.code``, or None.
        fault: The fault that struck, or None.
        swallowed: Whether the fault kept it from being carried out.
        effect: Number of the effect that it had, or None.
        repeated: Whether a honoured idempotency key repeated the first answer.
        took_ms: Milliseconds until the answer was decided; a hang or a slow body comes on top.
    """

    n: int
    at: datetime
    method: str
    path: str
    operation: str | None
    reference: str | None
    outcome: str
    code: str | None
    fault: str | None
    swallowed: bool
    effect: int | None
    repeated: bool
    took_ms: float

    def line(self) -> dict[str, Any]:
        """The exchange for the request log."""
        return {
            "n": self.n,
            "at": timestamp(self.at),
            "method": self.method,
            "path": self.path,
            "operation": self.operation,
            "reference": self.reference,
            "outcome": self.outcome,
            "code": self.code,
            "fault": self.fault,
            "effect": self.effect,
            "repeated": self.repeated,
            "ms": round(self.took_ms, 3),
        }


@dataclass(slots=True)
class Traffic:
    """Counts since the start or the last reset.

    Args:
        last_request: Number of the last request of earlier runs.
    """

    journal: Journal
    last_request: int
    recent: deque[Exchange] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _requests: Counter[str] = field(default_factory=Counter)
    _outcomes: Counter[str] = field(default_factory=Counter)
    _faults: Counter[str] = field(default_factory=Counter)
    _swallowed: Counter[str] = field(default_factory=Counter)
    _effects: Counter[EffectKind] = field(default_factory=Counter)
    _repeated: int = 0

    def begin(self) -> int:
        """The number of a request that has just arrived."""
        self.last_request += 1
        return self.last_request

    def finish(self, exchange: Exchange) -> None:
        """Count and log what became of a request."""
        self._requests[exchange.operation or "other"] += 1
        self._outcomes[exchange.outcome] += 1
        if exchange.fault is not None:
            self._faults[exchange.fault] += 1
        if exchange.swallowed:
            self._swallowed[exchange.operation or "other"] += 1
        self._repeated += exchange.repeated
        self.recent.appendleft(exchange)
        self.journal.note_request(exchange.line())

    def count_effect(self, kind: EffectKind) -> None:
        """Count an effect; those of earlier runs are counted when they are restored."""
        self._effects[kind] += 1

    def counters(self) -> Mapping[str, Any]:
        """All counters, for the state and the page."""
        return {
            "effects": {kind.value: self._effects[kind] for kind in EffectKind},
            "requests": dict(sorted(self._requests.items())),
            "swallowed": dict(sorted(self._swallowed.items())),
            "outcomes": dict(sorted(self._outcomes.items())),
            "faults": dict(sorted(self._faults.items())),
            "repeated": self._repeated,
        }

    def reset(self) -> None:
        """Forget everything but the request number."""
        self.recent.clear()
        for counter in (self._requests, self._outcomes, self._faults, self._swallowed):
            counter.clear()
        self._effects.clear()
        self._repeated = 0
