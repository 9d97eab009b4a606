"""Which faults strike which request: the armed rules, their counters and their seeded dice."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from outbox_worker.simulator.effect import Operation
from outbox_worker.simulator.fault import MODIFIERS, FaultKind, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happens to one request.

    Args:
        strike: The fault, or None.
        wait_s: Seconds until the request is carried out: latency, and the delay of a late one.
        stale_s: Look-ups miss reservations younger than this.
        unfiltered: Look-ups ignore their filters.
        uncounted: Look-ups leave out ``count``.
    """

    strike: Rule | None
    wait_s: float
    stale_s: float
    unfiltered: bool
    uncounted: bool


@dataclass(slots=True)
class _Armed:
    rule: Rule
    source: Mapping[str, Any]
    name: str
    seen: int = 0
    struck: int = 0
    calls: Counter[tuple[Operation, str | None]] = field(default_factory=Counter)

    @property
    def spent(self) -> bool:
        return self.rule.times is not None and self.struck >= self.rule.times


class FaultPlan:
    """The armed rules, one-shot ones first.

    The dice of a rule depend on the seed, the rule's place, the operation, the reference and how
    often that pair has been seen: so what one booking meets does not depend on how the requests of
    other bookings interleave with its own.

    Args:
        seed: Same seed, same rules, same calls: same faults.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._once: list[_Armed] = []
        self._standing: list[_Armed] = []
        self._queued = 0

    def arm(self, rules: Iterable[tuple[Rule, Mapping[str, Any]]]) -> None:
        """Replace the standing rules; each comes with the JSON that it was parsed from."""
        self._standing = [
            _Armed(rule, source, name=f"rule {place}") for place, (rule, source) in enumerate(rules)
        ]

    def queue(self, rule: Rule, source: Mapping[str, Any]) -> None:
        """Add a rule in front of the standing ones; it is dropped when it is spent."""
        self._queued += 1
        self._once.append(_Armed(rule, source, name=f"once {self._queued}"))

    def clear(self) -> None:
        """Disarm everything."""
        self._once.clear()
        self._standing.clear()
        self._queued = 0

    def describe(self) -> dict[str, list[dict[str, Any]]]:
        """The armed rules with ``struck``, how often each has struck."""
        return {
            "rules": [{**one.source, "struck": one.struck} for one in self._standing],
            "once": [{**one.source, "struck": one.struck} for one in self._once],
        }

    def judge(
        self, operation: Operation, *, reference: str | None, listing_id: str | None
    ) -> Verdict:
        """Draw for one request; a rule that strikes is counted."""
        strike: Rule | None = None
        wait_s = stale_s = 0.0
        unfiltered = uncounted = False
        for armed in (*self._once, *self._standing):
            rule = armed.rule
            modifies = rule.kind in MODIFIERS
            if armed.spent or (strike is not None and not modifies):
                continue
            if not rule.matches(operation, reference=reference, listing_id=listing_id):
                continue
            if not self._strikes(armed, operation, reference):
                continue
            match rule.kind:
                case FaultKind.LATENCY:
                    jitter = rule.jitter_s * self._dice(armed, operation, reference, "jitter")
                    wait_s += rule.seconds + jitter
                case FaultKind.STALE:
                    stale_s = max(stale_s, rule.seconds)
                case FaultKind.UNFILTERED:
                    unfiltered = True
                    uncounted |= rule.uncounted
                case FaultKind.LATE:
                    strike = rule
                    wait_s += rule.seconds
                case _:
                    strike = rule
        self._once = [armed for armed in self._once if not armed.spent]
        return Verdict(
            strike=strike,
            wait_s=wait_s,
            stale_s=stale_s,
            unfiltered=unfiltered,
            uncounted=uncounted,
        )

    def _strikes(self, armed: _Armed, operation: Operation, reference: str | None) -> bool:
        armed.seen += 1
        armed.calls[operation, reference] += 1
        if armed.seen <= armed.rule.skip:
            return False
        if self._dice(armed, operation, reference, "chance") >= armed.rule.probability:
            return False
        armed.struck += 1
        return True

    def _dice(self, armed: _Armed, operation: Operation, reference: str | None, what: str) -> float:
        """A number in [0, 1) that is the same for the same history."""
        nth = armed.calls[operation, reference]
        text = f"{self._seed}/{armed.name}/{operation}/{reference}/{nth}/{what}"
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:6], "big") / (1 << 48)
