"""The values of several rounds, and the figures that are made of them."""

from __future__ import annotations

import statistics

from tests.benchmarks.figure import Figure


class Rounds:
    """Values by name, one for each round.

    Args:
        measurement: Stands before each name.
    """

    def __init__(self, measurement: str) -> None:
        self._measurement = measurement
        self._values: dict[str, list[float]] = {}

    @property
    def names(self) -> list[str]:
        """In the order in which they were noted first."""
        return list(self._values)

    def note(self, name: str, value: float) -> None:
        """Take the value of one round."""
        self._values.setdefault(name, []).append(value)

    def figure(
        self,
        name: str,
        unit: str,
        *,
        least: float | None = None,
        most: float | None = None,
        note: str = "",
    ) -> Figure:
        """The median of a name's rounds, judged by one bound at most.

        Args:
            name: As it was noted.
            unit: Of its values.
            least: What it must reach.
            most: What it must not exceed.
            note: See `Figure`.
        """
        rounds = tuple(self._values[name])
        value = statistics.median(rounds)
        met, target = None, ""
        if least is not None:
            met, target = value >= least, f">= {least:g} {unit}"
        elif most is not None:
            met, target = value <= most, f"<= {most:g} {unit}"
        return Figure(
            name=f"{self._measurement}: {name}",
            value=value,
            unit=unit,
            rounds=rounds,
            target=target,
            met=met,
            note=note,
        )


def not_measured(name: str, target: str, why: str) -> Figure:
    """What stands in the table for something that could not be measured here."""
    return Figure(
        name=name,
        value=0.0,
        unit="",
        rounds=(),
        target=target,
        met=None,
        note=f"not measured: {why}",
    )
