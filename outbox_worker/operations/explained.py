"""One subject read and explained: what `outbox show` and `outbox check` have in common."""

from __future__ import annotations

from dataclasses import dataclass

from outbox_worker.bookings import store as booking_store
from outbox_worker.bookings.store import SyncView
from outbox_worker.database import Connection
from outbox_worker.operations.explain import Explanation, explain
from outbox_worker.operations.fleet import SyncMode, read_fleet
from outbox_worker.operations.plan import PmsView, is_as_wanted
from outbox_worker.operations.price import unknown_price
from outbox_worker.operations.refs import Target
from outbox_worker.operations.remote import parts_of
from outbox_worker.operations.timeline import Timeline, read_timeline
from outbox_worker.pms import guesty_parts
from outbox_worker.pms.guesty_parts import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One subject.

    Args:
        known: Booking and reservation, of one snapshot; None: not a booking, or a deleted one.
        fixed: See `explain`.
    """

    timeline: Timeline
    explanation: Explanation
    known: SyncView | None
    fixed: tuple[Part, ...]


async def read_explained(
    conn: Connection, target: Target, *, ours: SyncMode, view: PmsView
) -> Explained:
    """Read all that is known about one subject, and say where it stands.

    Args:
        conn: Any connection; only reads.
        target: From `refs.resolve`.
        ours: What our own settings say; used while no worker is running.
        view: How the worker maps a booking.
    """
    fleet = await read_fleet(conn, ours)
    timeline = await read_timeline(conn, target, fleet)
    if timeline.booking is None:
        explanation = explain(timeline, fleet, as_wanted=True)
        return Explained(timeline=timeline, explanation=explanation, known=None, fixed=())
    booking_id = timeline.booking.id
    known = (await booking_store.read_for_sync(conn, [booking_id], pms=view.pms))[booking_id]
    fixed = fixed_otherwise(known, view)
    explanation = explain(
        timeline,
        fleet,
        as_wanted=is_as_wanted(known, view),
        price=unknown_price(known, view, name=target.name),
        fixed=fixed,
    )
    return Explained(timeline=timeline, explanation=explanation, known=known, fixed=fixed)


def fixed_otherwise(known: SyncView, view: PmsView) -> tuple[Part, ...]:
    """Of what no call can change, what is on record otherwise than the booking has it.

    Args:
        known: Booking and reservation, of one snapshot.
        view: How the worker maps a booking; of a PMS that takes everything the answer is empty.
    """
    booking, held = known.booking, known.reservation
    if booking is None or held is None or held.test:
        return ()
    return guesty_parts.fixed_otherwise(held.parts, parts_of(booking, known, view))
