"""What to type next about one subject. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from outbox_worker.alerts import shown
from outbox_worker.alerts.words_access import Access
from outbox_worker.alerts.words_refused import BY_HAND, REMEDIES
from outbox_worker.operations.fleet import Fleet
from outbox_worker.operations.timeline import BookingFacts, DeliveryFacts, Timeline
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.guesty_parts import Part, fixed_code
from outbox_worker.pms.port import Mode, PmsName

#: What mends a refusal, by error code; for others the booking itself is to be corrected.
_MENDS = {
    "foreign_reservation": "Correct the confirmation code of the other stay in {pms}.",
}
#: Refusals that end when a person says which reservation is the right one.
_LINKED = {
    "reservation_gone": "Find out in {pms} who removed the reservation. If the guest still comes,"
    " enter the stay there, then say which one it is:",
    "several_reservations": "Cancel all but one of them in {pms}, then say which one is left:",
    "takeover_reservation_id": "Find the reservation in {pms}, then say which one it is:",
}
#: What changes by itself.
_UNDER_WAY = frozenset({State.WAITING, State.SENDING, State.RETRYING, State.CHECKING, State.HELD})
_GONE = "booking_gone"
_ELSEWHERE = "held_elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do.

    Args:
        command: What to type; empty where there is no command for it.
    """

    text: str
    command: str = ""


#: Where the command that follows vouches for the price, and for the guest as well.
GUEST_BY_HAND = Step(
    text=f"{PmsName.GUESTY.display_name} takes no other guest for a reservation that it holds."
    " Change name, e-mail or phone there by hand."
)


def handle(timeline: Timeline) -> str:
    """What names the subject in a command: its own name where a shell takes it as it is."""
    booking = timeline.booking
    known = shown.token(timeline.target.name)
    if known is not None:
        return known
    if booking is not None:
        return str(booking.id)
    return str(timeline.delivery.id) if timeline.delivery else timeline.target.key


def send(timeline: Timeline, text: str) -> Step:
    """Ask for it again and wait."""
    return Step(text=text, command=f"outbox requeue {handle(timeline)} --wait")


def discard(timeline: Timeline, text: str) -> Step:
    """Say that it is not owed."""
    return Step(text=text, command=f"outbox discard {handle(timeline)} --reason TEXT")


def check(timeline: Timeline, fleet: Fleet) -> Step:
    """Ask what became of a call whose answer was lost."""
    return Step(
        text=f"The answer to a call was lost. Ask what {fleet.pms} holds:",
        command=f"outbox check {handle(timeline)}",
    )


def link(timeline: Timeline, text: str, *, reservation_id: str | None = None) -> Step:
    """Say which reservation is the booking's."""
    word = (shown.token(reservation_id) if reservation_id else None) or "RESERVATION_ID"
    return Step(text=text, command=f"outbox link {handle(timeline)} {word}")


def look(timeline: Timeline, fleet: Fleet) -> str:
    """What to type where there is nothing to mend: see how it goes on, or what the PMS holds."""
    if timeline.delivery is not None and timeline.delivery.state in _UNDER_WAY:
        return f"outbox show {handle(timeline)}"
    if any(held.mode is Mode.LIVE and held.pms is fleet.mode.pms for held in timeline.reservations):
        return f"outbox check {handle(timeline)}"
    return "outbox status"


def by_hand(timeline: Timeline, code: str, fixed: tuple[Part, ...] = ()) -> Step:
    """Confirm what a person has seen or changed in the PMS, since no call can; of `BY_HAND`.

    Args:
        timeline: The booking.
        code: Of the refusal.
        fixed: What is on record otherwise now, which says more than the code; see `explain`.
    """
    held = [each for each in timeline.reservations if each.mode is Mode.LIVE]
    elsewhere = code == _ELSEWHERE
    # what no call can change is Guesty's; another PMS may be on record beside it
    ours = next((each for each in held if elsewhere or each.pms is PmsName.GUESTY), None)
    away = elsewhere and ours is not None and ours.pms is PmsName.GUESTY
    pms = (PmsName.GUESTLY if away else PmsName.GUESTY).display_name
    known = None if ours is None else ours.reservation_id
    text = BY_HAND[code]
    if fixed and not elsewhere:
        text = BY_HAND[fixed_code(fixed)]
    return link(timeline, text.format(pms=pms), reservation_id=known)


def access(known: Access) -> Step:
    """What to do about a refusal of our access whose code tells what is wrong."""
    return Step(text=known.step.text, command=" && ".join(known.step.commands))


def worker(fleet: Fleet) -> tuple[Step, ...]:
    """Start a worker where none is running."""
    if fleet.workers:
        return ()
    return (Step(text="No worker is running. Start one:", command="outbox worker run"),)


def opened(timeline: Timeline, fleet: Fleet) -> tuple[Step, ...]:
    """Open what holds a booking, or send this one alone."""
    alone: tuple[Step, ...] = (
        Step(text="Or send this one alone, now:", command=f"outbox sync {handle(timeline)}"),
    )
    if fleet.no_token:
        alone = ()  # nor can that be sent
    if not fleet.mode.enabled or Destination.GUESTLY not in fleet.closed:
        return (Step(text="Set GUESTLY_SYNC_ENABLED=true and restart the worker."), *alone)
    return (Step(text="Open it, if that is mended:", command="outbox resume guestly"), *alone)


def given_up(
    timeline: Timeline, delivery: DeliveryFacts, fleet: Fleet, fixed: tuple[Part, ...] = ()
) -> tuple[Step, ...]:
    """What to do about a booking that was given up or set aside; ``fixed``: see `by_hand`."""
    doubt = (check(timeline, fleet),) if delivery.uncertain_at is not None else ()
    if delivery.discarded_at is not None:
        return (*doubt, send(timeline, "Send it after all:"))
    if delivery.due_at is not None:
        others = Step(text="See what else failed:", command="outbox list --state failed")
        return (*worker(fleet), *doubt, send(timeline, "Try at once:"), others)
    if delivery.error_code == _GONE:
        cancelled = (
            f"Cancel the stay in {fleet.pms}, if it is there, then say that nothing is owed:"
        )
        return (*doubt, discard(timeline, cancelled))
    if delivery.error_code == _ELSEWHERE:
        nothing = discard(timeline, "Or, if nothing is to be sent:")
        return (*doubt, by_hand(timeline, _ELSEWHERE), nothing)
    if delivery.error_code is not None and delivery.error_code in BY_HAND:
        return (*doubt, by_hand(timeline, delivery.error_code, fixed))
    if delivery.error_code in _LINKED:
        return (
            *doubt,
            link(timeline, _LINKED[delivery.error_code].format(pms=fleet.pms)),
            discard(timeline, "Or, if nothing is to be sent:"),
        )
    return (
        *doubt,
        _mend(delivery, timeline.booking, fleet),
        send(timeline, "Then send it again:"),
        discard(timeline, "Or, if it is not to be sent:"),
    )


def _mend(delivery: DeliveryFacts, booking: BookingFacts | None, fleet: Fleet) -> Step:
    code = delivery.error_code or ""
    if code == "listing_missing":
        slug = booking.property_slug if booking is not None else None
        word = (shown.token(slug) if slug else None) or "SLUG"
        return Step(
            text=f"Say which listing the property is in {fleet.pms}:",
            command=f"outbox listings set {word} LISTING_ID",
        )
    if code in REMEDIES:
        return Step(text=REMEDIES[code].format(pms=fleet.pms))
    mend = _MENDS.get(code, "Correct what the error names, on the site or in {pms}.")
    return Step(text=mend.format(pms=fleet.pms))
