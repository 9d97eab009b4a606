"""What a measurement answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value.

    Args:
        name: What was measured, unique within a run: ``receiver: requests, 8 clients``.
        value: The median of the rounds.
        unit: Of the value and of the rounds, such as ``ms`` or ``of pgqueuer``.
        rounds: Each round's value, in the order measured.
        target: What must be reached, as people read it; empty: told for information.
        met: Whether it is reached; None: there is no target.
        note: Conditions of this figure alone, and what it does not show.
    """

    name: str
    value: float
    unit: str
    rounds: tuple[float, ...]
    target: str
    met: bool | None
    note: str
