"""One booking against a PMS whose writes may land late, in virtual time.

What the database guarantees (one owner at a time, nothing lost) is assumed; what is tried is when a
write may leave, and what a claim may conclude. No clock, no I/O: a seed is a history.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from outbox_worker.handlers import decide
from outbox_worker.pms.port import RemoteReservation

CALL_S, LATEST_S, LEASE_S = 1.0, 6.0, 4.0
_EPOCH = datetime(2027, 1, 1, tzinfo=UTC)
_STAY = (date(2027, 5, 1), date(2027, 5, 5))


@dataclass(slots=True)
class Rules:
    """Which rules a history follows; the defaults are ours.

    Args:
        quiet_s: Quiet period; LATEST_S is how late a write can land.
        forget: A certain failure clears the uncertainty.
        adopt_and_change: A different reservation found by look-up is changed in the same claim.
        trust_reads: A known reservation that looks as wanted is believed while in doubt.
    """

    quiet_s: float = LATEST_S
    forget: bool = False
    adopt_and_change: bool = False
    trust_reads: bool = False


@dataclass(slots=True)
class History:
    """One booking's life; state 0 is cancelled, any other number is a confirmed state."""

    rules: Rules
    chance: random.Random
    now: float = 0.0
    state: int = 1
    version: int = 1
    delivered: int = 0
    doubt_until: float | None = None
    known: str | None = None
    recorded: int | None = None
    due: float | None = 0.0
    remote: dict[str, int] = field(default_factory=dict)
    pending: list[tuple[float, str | None, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)
    created: int = 0

    def advance(self, to: float) -> None:
        """Let time pass: the site changes the booking, late writes land."""
        self.now = max(self.now, to)
        while self.changes and self.changes[0][0] <= self.now:
            _, state = self.changes.pop(0)
            self.state = 1 if state == self.state == 0 else state
            self.version += 1
            if self.due is None:
                self.due = self.now
        self.pending.sort(key=lambda write: write[0])
        while self.pending and self.pending[0][0] <= self.now:
            _, target, state = self.pending.pop(0)
            self.land(target, state)

    def land(self, target: str | None, state: int) -> str:
        """A write takes effect in the PMS."""
        if target is None:
            self.created += 1
            target = f"R{self.created}"
        self.remote[target] = state
        return target

    def step(self, *, calm: bool) -> None:
        """One claim."""
        version, began = self.version, self.now
        self.advance(self.now + self.chance.choice([0, 0, 0.3]))
        state = self.state
        wanted = decide.Wanted(
            cancelled=state == 0,
            fingerprint=f"state {state}",
            listing_id="listing",
            check_in=_STAY[0],
            check_out=_STAY[1],
            guest_email=None,
        )
        doubt = self._doubt()
        trusted = self.rules.trust_reads and doubt is not None and self.known is not None
        if trusted and self.remote.get(self.known or "") == state:
            self._held(version, self.known, state)
            return
        known = (
            None
            if self.known is None
            else decide.Known(
                reservation_id=self.known,
                fingerprint=None if self.recorded is None else f"state {self.recorded}",
            )
        )
        first = decide.first_step(wanted, known=known, doubt=doubt, look_before_create=True)
        after: decide.FirstStep | decide.AfterLookUp = first
        if isinstance(first, decide.LookUp):
            if not calm and self.chance.random() < 0.15:
                self._failed_certainly()
                return
            after = decide.after_look_up(wanted, self._hits(), doubt=doubt)
        self._act(after, state, version, began, calm=calm)

    def _act(
        self,
        step: decide.FirstStep | decide.AfterLookUp,
        state: int,
        version: int,
        began: float,
        *,
        calm: bool,
    ) -> None:
        match step:
            case decide.Nothing():
                self._held(version, self.known, self.recorded)
            case decide.AwaitQuiet(rest=rest):
                self.due = self.now + rest.total_seconds()
            case decide.Adopt(reservation_id=found, as_wanted=True):
                self._held(version, found, state)
            case decide.Adopt(reservation_id=found):
                if self.rules.adopt_and_change:
                    self._write(found, state, version, began, calm=calm)
                else:
                    self.known, self.recorded = found, None
                    self.doubt_until, self.due = None, self.now
            case decide.Create():
                self._write(None, state, version, began, calm=calm)
            case decide.Change(reservation_id=found) | decide.Cancel(reservation_id=found):
                self._write(found, state, version, began, calm=calm)
            case decide.Refuse(code="several_reservations"):
                self.due = None  # parked: the double is counted at the end
            case decide.Refuse() | decide.LookUp():
                raise AssertionError(f"a history without strangers came to {step}")

    def _write(
        self, target: str | None, state: int, version: int, began: float, *, calm: bool
    ) -> None:
        fate = 1.0 if calm else self.chance.random()
        if fate < 0.12:
            self._lost(began)
        elif fate < 0.18:
            self._failed_certainly()
        elif fate < 0.75:
            effect = self.chance.random()
            if effect < 0.35:
                self.land(target, state)
            elif effect < 0.8:
                self.pending.append((self.now + self.chance.uniform(0.1, LATEST_S), target, state))
            if fate < 0.45:
                self._lost(began)
                return
            self.advance(self.now + CALL_S)
            self.doubt_until = self.now
            self.due = self.now + self.chance.choice([0.1, LATEST_S])
        else:
            self._held(version, self.land(target, state), state)

    def _held(self, version: int, reservation: str | None, state: int | None) -> None:
        self.known, self.recorded = reservation, state
        self.delivered, self.doubt_until = version, None
        self.due = self.now if self.version > version else None

    def _lost(self, began: float) -> None:
        self.advance(began + LEASE_S)
        self.doubt_until = max(self.doubt_until or 0.0, began + LEASE_S)
        self.due = self.now

    def _failed_certainly(self) -> None:
        self.due = self.now + 0.1
        if self.rules.forget:
            self.doubt_until = None

    def _doubt(self) -> decide.Doubt | None:
        if self.doubt_until is None:
            return None
        return decide.Doubt(
            until=_EPOCH + timedelta(seconds=self.doubt_until),
            quiet=timedelta(seconds=self.rules.quiet_s),
            now=_EPOCH + timedelta(seconds=self.now),
        )

    def _hits(self) -> list[RemoteReservation]:
        return [
            RemoteReservation(
                reservation_id=found,
                reference="reference",
                listing_id="listing",
                check_in=_STAY[0],
                check_out=_STAY[1],
                guest_email=None,
                status="canceled" if state == 0 else "confirmed",
                fingerprint=f"state {state}",
            )
            for found, state in sorted(self.remote.items())
        ]


def faults_of(seed: int, rules: Rules) -> list[str]:
    """Live one history and say what is wrong at its end; an empty list is right."""
    chance = random.Random(seed)  # noqa: S311 - a seed has to be repeatable
    history = History(rules=rules, chance=chance)
    history.changes = sorted(
        (chance.uniform(0, 40), chance.choice([1, 2, 2, 0])) for _ in range(chance.randint(1, 6))
    )
    for _ in range(400):
        if history.due is None:
            if not history.changes:
                break
            history.advance(history.changes[0][0])
            continue
        history.advance(max(history.now, history.due))
        history.step(calm=history.now > 45)
    history.advance(history.now + LATEST_S + 1)
    return _wrong(history)


def _wrong(history: History) -> list[str]:
    wrong = []
    if history.created > 1:
        wrong.append("duplicate")
    if history.due is not None:
        wrong.append("not calm")
    elif history.state and history.remote.get("R1") != history.state:
        wrong.append("stale or missing")
    elif not history.state and any(history.remote.values()):
        wrong.append("not cancelled")
    return wrong
