"""The story of one booking in the order of time: faults, claims, attempts, calls and effects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from outbox_worker.database import Connection
from tests.chaos.nemesis import Struck
from tests.chaos.points import Sprung
from tests.chaos.statements import rows


async def of_booking(
    conn: Connection,
    reference: str,
    *,
    requests: Iterable[Mapping[str, Any]],
    effects: Iterable[Mapping[str, Any]],
    struck: Iterable[Struck],
    sprung: Iterable[Sprung],
) -> list[str]:
    """Everything that touched a booking, and every fault while it lived, a line each."""
    story = await rows(conn, "story_of_booking", reference=reference)
    own = [(row["at"], str(row["what"])) for row in story]
    own += [
        (
            datetime.fromisoformat(line["at"]),
            "call       {n} {operation}: {outcome}, fault {fault}, effect {effect}".format(**line),
        )
        for line in requests
        if line["reference"] == reference
    ]
    own += [
        (
            datetime.fromisoformat(line["at"]),
            "effect     {n} {op} {reservation_id} {status} until {check_out}".format(**line),
        )
        for line in effects
        if line["reference"] == reference
    ]
    if not own:
        return [f"nothing is known of {reference}"]
    first, last = min(at for at, _ in own), max(at for at, _ in own)
    around = [(at, what) for at, what in _faults(struck, sprung) if first <= at <= last]
    return [f"{at:%H:%M:%S.%f}"[:-3] + f"  {what}" for at, what in sorted(own + around)]


def _faults(struck: Iterable[Struck], sprung: Iterable[Sprung]) -> Iterator[tuple[datetime, str]]:
    for fault in struck:
        yield (
            datetime.fromtimestamp(fault.at, tz=UTC),
            f"FAULT      {fault.kind} {fault.detail} (ended)",
        )
    for trap in sprung:
        yield (
            datetime.fromtimestamp(trap.at, tz=UTC),
            f"FAULT      process {trap.pid}: {trap.action} {trap.point}",
        )
