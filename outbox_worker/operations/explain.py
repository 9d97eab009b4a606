"""A subject's state in plain words: why, what the guest sees, the risk, what to type. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import assert_never

from outbox_worker.alerts.words_access import ACCESS
from outbox_worker.alerts.words_refused import NIGHTS_TAKEN
from outbox_worker.bookings.booking import BookingStatus, PaymentStatus
from outbox_worker.operations import explain_step as step
from outbox_worker.operations.explain_alert import MEANINGS
from outbox_worker.operations.explain_step import Step
from outbox_worker.operations.fleet import DISABLED, Fleet
from outbox_worker.operations.refs import Subject
from outbox_worker.operations.timeline import AlertFacts, BookingFacts, DeliveryFacts, Timeline
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.port import Mode
from outbox_worker.settings import NEEDED_TO_CALL

#: Nobody tells us when a property lets its guests in.
_ARRIVAL = time(15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a person should know first.

    Args:
        headline: One sentence: where it stands.
        why: Empty where the headline says it all.
        guest_sees: Empty where no guest is concerned.
        risk: Empty where there is none.
        arrival_in: Until check-in, assumed at 15:00 UTC; negative when it is past; None: unknown.
        steps: What to do, in order; empty: nothing.
    """

    headline: str
    why: str = ""
    guest_sees: str = ""
    risk: str = ""
    arrival_in: timedelta | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    headline: str
    why: str = ""
    steps: tuple[Step, ...] = ()


def explain(timeline: Timeline, fleet: Fleet, *, as_wanted: bool) -> Explanation:
    """Say where a subject stands and what to do about it.

    Args:
        timeline: The subject.
        fleet: Who works, and what is closed.
        as_wanted: Whether the PMS holds the booking as it is now, as far as we know.
    """
    if timeline.target.subject is not Subject.BOOKING:
        said = _other(timeline, fleet)
        return Explanation(headline=said.headline, why=said.why, steps=said.steps)
    booking = timeline.booking
    said = _booking(timeline, fleet, as_wanted=as_wanted)
    guest_sees = "" if booking is None else _guest_sees(booking)
    alert = next((each for each in timeline.alerts if each.kind in MEANINGS), None)
    if alert is not None:
        said = _with_alert(said, alert, timeline)
        guest_sees = MEANINGS[alert.kind].guest_sees or guest_sees
    return Explanation(
        headline=said.headline,
        why=said.why,
        guest_sees=guest_sees,
        risk=_risk(timeline),
        arrival_in=None if booking is None else _arrival_in(booking, fleet.now),
        steps=said.steps,
    )


def _booking(timeline: Timeline, fleet: Fleet, *, as_wanted: bool) -> _Said:
    delivery = timeline.delivery
    if delivery is None:
        return _never_requested(timeline)
    error = _error(delivery)
    refused = fleet.closed.get(Destination.GUESTLY) != DISABLED and delivery.misconfigured
    if refused and delivery.state in {State.WAITING, State.RETRYING, State.HELD}:
        return _misconfigured(timeline, fleet, error)
    match delivery.state:
        case State.SYNCED:
            return _synced(timeline, fleet, as_wanted=as_wanted)
        case State.SENDING:
            return _Said(headline="A worker is sending it now.", why=f"worker {delivery.owner}")
        case State.WAITING:
            return _Said(
                headline="On its way: it waits for a worker.", why=error, steps=step.worker(fleet)
            )
        case State.RETRYING:
            return _Said(
                headline=f"{_not_there(timeline)} the last attempt failed; it is tried again"
                " by itself.",
                why=error,
                steps=step.worker(fleet),
            )
        case State.CHECKING:
            return _Said(
                headline=f"{_not_there(timeline)} the answer to the last call was lost, so Guestly"
                " is asked first what became of it; nothing is sent twice.",
                why=error,
                steps=(*step.worker(fleet), step.check(timeline)),
            )
        case State.HELD:
            return _held(timeline, fleet)
        case State.FAILED | State.REJECTED | State.DISCARDED:
            return _given_up(timeline, delivery, fleet)
        case _:
            assert_never(delivery.state)


def _with_alert(said: _Said, alert: AlertFacts, timeline: Timeline) -> _Said:
    """The alert first: it is what a person is waited for."""
    meaning = MEANINGS[alert.kind]
    found = f"{alert.message or meaning.why} (alert {alert.id}, {alert.kind})"
    close = Step(
        text="Once it is dealt with, close the alert:",
        command=f"outbox requeue {step.handle(timeline)}",
    )
    if timeline.delivery is not None and timeline.delivery.state is State.DISCARDED:
        # asked for again, it would be sent
        close = step.discard(timeline, close.text)
    return _Said(
        headline=f"{meaning.headline} {said.headline}",
        why=f"{found}; {said.why}" if said.why else found,
        steps=(Step(text=meaning.act), *said.steps, close),
    )


def _misconfigured(timeline: Timeline, fleet: Fleet, error: str) -> _Said:
    known = ACCESS.get((timeline.delivery.error_code if timeline.delivery else None) or "")
    if known is not None:
        return _Said(
            headline=f"{_not_there(timeline)} {known.symptom}. It waits, and nothing is lost.",
            why=error,
            steps=(step.access(known), *step.worker(fleet)),
        )
    names = {worker.pms for worker in fleet.workers if worker.sync_enabled} or {"guestly"}
    needed = [name for pms in sorted(names) for name in reversed(NEEDED_TO_CALL[pms])]
    settings = " or ".join([*needed, *(["GUESTY_API_URL"] if "guesty" in names else [])])
    return _Said(
        headline=f"{_not_there(timeline)} Guestly refuses our key or address. It waits, and nothing"
        " is lost.",
        why=error,
        steps=(
            Step(text=f"Correct {settings} and restart the worker."),
            *step.worker(fleet),
            step.send(timeline, "Then try at once:"),
        ),
    )


def _given_up(timeline: Timeline, delivery: DeliveryFacts, fleet: Fleet) -> _Said:
    if delivery.discarded_at is not None:
        headline = "Set aside by a person: it is not sent."
    elif delivery.due_at is not None:
        headline = f"{_not_there(timeline)} every attempt failed; it is tried again by itself."
    else:
        headline = f"{_not_there(timeline)} it is not tried again until a person acts."
    return _Said(
        headline=headline, why=_error(delivery), steps=step.given_up(timeline, delivery, fleet)
    )


def _never_requested(timeline: Timeline) -> _Said:
    booking = timeline.booking
    live = [held for held in timeline.reservations if held.mode is Mode.LIVE]
    if live:
        return _Said(
            headline=f"In Guestly as {live[0].reservation_id}; nothing was asked for since.",
            why="" if live[0].state_known else "It was taken over: in which state is not known.",
        )
    if booking is None:
        return _Said(headline="The booking does not exist, and nothing is owed for it.")
    match booking.status:
        case BookingStatus.PENDING:
            return _Said(
                headline="Not in Guestly: the booking is not confirmed.",
                why=f"payment {booking.payment_status}",
            )
        case BookingStatus.CANCELLED:
            return _Said(headline="Cancelled, and Guestly never held it: nothing to do.")
        case BookingStatus.CONFIRMED | BookingStatus.COMPLETED:
            return _Said(
                headline="Not in Guestly: nobody has asked for it to be sent.",
                steps=(
                    step.send(timeline, "Send it:"),
                    step.link(timeline, "Or, if it was entered in Guestly by hand:"),
                ),
            )
        case _:
            assert_never(booking.status)


def _synced(timeline: Timeline, fleet: Fleet, *, as_wanted: bool) -> _Said:
    live = [held for held in timeline.reservations if held.mode is Mode.LIVE]
    if live and not as_wanted:
        return _Said(
            headline=f"In Guestly as {live[0].reservation_id}, but the booking has changed since"
            " and nobody has asked for the change to be sent.",
            steps=(step.send(timeline, "Send it:"),),
        )
    if live:
        cancelled = timeline.booking and timeline.booking.status is BookingStatus.CANCELLED
        return _Said(
            headline=f"In Guestly as {live[0].reservation_id}, "
            f"{'cancelled there as here' if cancelled else 'as it is here'}."
        )
    if timeline.reservations:
        off = Step(text="Set GUESTLY_TEST_MODE=false and restart the worker.")
        send = step.send(timeline, "Then send it:")
        return _Said(
            headline="TEST: not in Guestly. It was handled in test mode, where nothing is sent.",
            steps=(off, send) if fleet.mode.test_mode else (send,),
        )
    return _Said(headline="Nothing to do: Guestly does not hold it and does not have to.")


def _held(timeline: Timeline, fleet: Fleet) -> _Said:
    return _Said(
        headline=f"{_not_there(timeline)} it is held, and sent as soon as that ends.",
        why=fleet.closed.get(Destination.GUESTLY, ""),
        steps=step.opened(timeline, fleet),
    )


def _other(timeline: Timeline, fleet: Fleet) -> _Said:
    delivery, event = timeline.delivery, timeline.event
    what = "event" if timeline.target.subject is Subject.EVENT else "message"
    if delivery is None:
        if event is None:
            return _Said(headline="Nothing is owed for it.")
        return _Said(headline=f"Received, {_words(event.outcome)}.", why=event.detail or "")
    again = step.send(timeline, "Try at once:")
    error = _error(delivery)
    if delivery.state is State.DISCARDED:
        return _Said(
            headline=f"Set aside by a person: the {what} is not dealt with any more.",
            why=error,
            steps=(step.send(timeline, "Do it after all:"),),
        )
    if delivery.state is State.SYNCED:
        outcome = f": {_words(event.outcome)}" if event else ""
        return _Said(headline=f"Done{outcome}.")
    if delivery.state is State.SENDING:
        return _Said(headline="A worker is at it now.", why=f"worker {delivery.owner}")
    if delivery.failed_at is not None:
        return _Said(
            headline=f"The {what} was given up after {delivery.attempts} attempts.",
            why=error,
            steps=(
                *step.worker(fleet),
                again,
                step.discard(timeline, "Or, if nothing is to be done:"),
            ),
        )
    if event is not None and event.outcome == "waiting":
        return _Said(
            headline="A payment without its booking: it is applied when the booking appears.",
            why=error,
            steps=(
                *step.worker(fleet),
                Step(text="Find the booking of this payment on the site, or refund it in Stripe."),
                step.discard(timeline, "Once it is refunded:"),
            ),
        )
    return _Said(
        headline=f"The {what} is not done yet ({delivery.state}).",
        why=error,
        steps=(*step.worker(fleet), again),
    )


def _not_there(timeline: Timeline) -> str:
    """The beginning of a headline for what is owed."""
    booking = timeline.booking
    if any(held.mode is Mode.LIVE for held in timeline.reservations):
        if booking is not None and booking.status is BookingStatus.CANCELLED:
            return "Cancelled here, not yet in Guestly:"
        return "Guestly holds an older state:"
    return "Not in Guestly:"


def _error(delivery: DeliveryFacts) -> str:
    if delivery.error_code is None:
        return ""
    return f"{delivery.error or 'no details'} ({delivery.error_code})"


def _guest_sees(booking: BookingFacts) -> str:
    match booking.status:
        case BookingStatus.CONFIRMED | BookingStatus.COMPLETED:
            return "A confirmed booking on the site. Nothing looks wrong to them."
        case BookingStatus.CANCELLED:
            return "A cancelled booking on the site."
        case BookingStatus.PENDING:
            return "A booking on the site that is not confirmed."
        case _:
            assert_never(booking.status)


def _risk(timeline: Timeline) -> str:
    booking, delivery = timeline.booking, timeline.delivery
    live = any(held.mode is Mode.LIVE for held in timeline.reservations)
    owed = delivery is not None and delivery.state is not State.SYNCED
    if booking is None or booking.status is BookingStatus.PENDING:
        return ""
    if booking.status is BookingStatus.CANCELLED:
        return "The nights may stay blocked in Guestly." if live and owed else ""
    if not live and delivery is not None and delivery.error_code in NIGHTS_TAKEN:
        return "The guest counts on nights that Guestly does not give them." if owed else ""
    if not live and booking.payment_status is PaymentStatus.COMPLETED:
        return "The nights are still on sale in other channels, and Guestly prepares no arrival."
    return "What Guestly tells other channels and the guest is out of date." if owed else ""


def _arrival_in(booking: BookingFacts, now: datetime) -> timedelta | None:
    if booking.check_in is None:
        return None
    return datetime.combine(booking.check_in, _ARRIVAL, tzinfo=UTC) - now


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")
