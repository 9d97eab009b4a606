"""A subject's state in plain words: why, what the guest sees, the risk, what to type. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from outbox_worker.alerts.alert import PRICE_UNKNOWN
from outbox_worker.alerts.shown import counted
from outbox_worker.alerts.words_access import ACCESS
from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.operations import explain_stay as stay
from outbox_worker.operations import explain_step as step
from outbox_worker.operations.explain_alert import Meaning, meaning_of
from outbox_worker.operations.explain_step import Step
from outbox_worker.operations.fleet import Fleet
from outbox_worker.operations.price import UnknownPrice
from outbox_worker.operations.refs import Subject
from outbox_worker.operations.timeline import (
    AlertFacts,
    DeliveryFacts,
    Timeline,
)
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import Mode
from outbox_worker.settings import NEEDED_TO_CALL
from outbox_worker.settings_catalogue import KEPT_IN


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
        then: What to type where there is nothing to do.
        price: That the price in the PMS is not known to be ours; None: it is, or does not matter.
    """

    headline: str
    why: str = ""
    guest_sees: str = ""
    risk: str = ""
    arrival_in: timedelta | None = None
    steps: tuple[Step, ...] = ()
    then: str
    price: UnknownPrice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    headline: str
    why: str = ""
    steps: tuple[Step, ...] = ()


def explain(
    timeline: Timeline,
    fleet: Fleet,
    *,
    as_wanted: bool,
    price: UnknownPrice | None = None,
    fixed: tuple[Part, ...] = (),
) -> Explanation:
    """Say where a subject stands and what to do about it.

    Args:
        timeline: The subject.
        fleet: Who works, and what is closed.
        as_wanted: Whether the PMS holds the booking as it is now, as far as we know.
        price: See `Explanation`.
        fixed: Of what no call can change, what is on record otherwise than it is here.
    """
    if timeline.target.subject is not Subject.BOOKING:
        said = _other(timeline, fleet)
        return Explanation(
            headline=said.headline, why=said.why, steps=said.steps, then=step.look(timeline, fleet)
        )
    booking = timeline.booking
    said = _booking(timeline, fleet, as_wanted=as_wanted, price=price, fixed=fixed)
    guest_sees = "" if booking is None else stay.guest_sees(booking)
    for alert in timeline.alerts:
        meaning = meaning_of(alert.kind, alert.code)
        if meaning is None or (price is not None and alert.code == PRICE_UNKNOWN):
            continue  # what is said of the price ends that alert
        said = _with_alert(said, alert, meaning, timeline, fleet)
        guest_sees = meaning.guest_sees or guest_sees
        break
    return Explanation(
        headline=said.headline,
        why=said.why,
        guest_sees=guest_sees,
        risk=stay.risk(timeline, fleet),
        arrival_in=None if booking is None else stay.arrival_in(booking, fleet.now),
        steps=_with_price(said.steps, price, fixed),
        then=step.look(timeline, fleet),
        price=price,
    )


def _with_price(
    steps: tuple[Step, ...], price: UnknownPrice | None, fixed: tuple[Part, ...]
) -> tuple[Step, ...]:
    """The steps, and last what to do about the price."""
    if price is None:
        return steps
    others = tuple(each for each in steps if each.command != price.command)
    if len(others) < len(steps) and Part.CONTACT in fixed:
        # one command vouches for both
        others = (*others, step.GUEST_BY_HAND)
    return (*others, Step(text=price.act, command=price.command))


def _booking(
    timeline: Timeline,
    fleet: Fleet,
    *,
    as_wanted: bool,
    price: UnknownPrice | None,
    fixed: tuple[Part, ...],
) -> _Said:
    delivery = timeline.delivery
    if delivery is None:
        return _never_requested(timeline, fleet)
    error = _error(delivery)
    refused = fleet.mode.enabled and delivery.misconfigured
    if refused and delivery.state in {State.WAITING, State.RETRYING, State.HELD}:
        return _misconfigured(timeline, fleet, error)
    match delivery.state:
        case State.SYNCED:
            return _synced(timeline, fleet, as_wanted=as_wanted, price=price)
        case State.SENDING:
            return _Said(headline="A worker is sending it now.", why=f"worker {delivery.owner}")
        case State.WAITING:
            return _Said(
                headline="On its way: it waits for a worker.", why=error, steps=step.worker(fleet)
            )
        case State.RETRYING:
            return _Said(
                headline=f"{stay.not_there(timeline, fleet)} the last attempt failed; it is tried"
                " again by itself.",
                why=error,
                steps=step.worker(fleet),
            )
        case State.CHECKING:
            return _Said(
                headline=f"{stay.not_there(timeline, fleet)} the answer to the last call was lost,"
                f" so {fleet.pms} is asked first what became of it; nothing is sent twice.",
                why=error,
                steps=(*step.worker(fleet), step.check(timeline, fleet)),
            )
        case State.HELD:
            return _held(timeline, fleet)
        case State.FAILED | State.REJECTED | State.DISCARDED:
            return _given_up(timeline, delivery, fleet, fixed)
        case _:
            assert_never(delivery.state)


def _with_alert(
    said: _Said, alert: AlertFacts, meaning: Meaning, timeline: Timeline, fleet: Fleet
) -> _Said:
    """The alert first: it is what a person is waited for."""
    found = f"{alert.message or meaning.why} (alert {alert.id}, {alert.kind})"
    close = Step(
        text="Once it is dealt with, close the alert:",
        command=f"outbox requeue {step.handle(timeline)}",
    )
    held = _named_for_price(timeline, fleet) if alert.code == PRICE_UNKNOWN else None
    if held is not None:
        close = step.link(timeline, close.text, reservation_id=held)
    elif timeline.delivery is not None and timeline.delivery.state is State.DISCARDED:
        # asked for again, it would be sent
        close = step.discard(timeline, close.text)
    return _Said(
        headline=f"{meaning.headline} {said.headline}",
        why=f"{found}; {said.why}" if said.why else found,
        steps=(Step(text=meaning.act), *said.steps, close),
    )


def _named_for_price(timeline: Timeline, fleet: Fleet) -> str | None:
    """The reservation to name, which ends the alert about a price; None: the booking does."""
    booking = timeline.booking
    if booking is None or booking.status is BookingStatus.CANCELLED:
        return None
    live = [held for held in timeline.reservations if held.mode is Mode.LIVE]
    here = (held for held in live if held.pms is fleet.mode.pms)
    chosen = next(here, live[0] if live else None)
    return None if chosen is None else chosen.reservation_id


def _misconfigured(timeline: Timeline, fleet: Fleet, error: str) -> _Said:
    known = ACCESS.get((timeline.delivery.error_code if timeline.delivery else None) or "")
    if known is not None:
        return _Said(
            headline=f"{stay.not_there(timeline, fleet)} {known.symptom}. It waits, and nothing is"
            " lost.",
            why=error,
            steps=(step.access(known), *step.worker(fleet)),
        )
    names = {worker.pms for worker in fleet.workers if worker.sync_enabled} or {fleet.mode.pms}
    needed = [name for pms in sorted(names) for name in reversed(NEEDED_TO_CALL[pms])]
    settings = " or ".join([*needed, *(["GUESTY_API_URL"] if "guesty" in names else [])])
    kept = f" {KEPT_IN}" if "guesty" in names else ""
    return _Said(
        headline=f"{stay.not_there(timeline, fleet)} {fleet.pms} refuses our key or address. It"
        " waits, and nothing is lost.",
        why=error,
        steps=(
            Step(text=f"Correct {settings}{kept} and restart the worker."),
            *step.worker(fleet),
            step.send(timeline, "Then try at once:"),
        ),
    )


def _given_up(
    timeline: Timeline, delivery: DeliveryFacts, fleet: Fleet, fixed: tuple[Part, ...]
) -> _Said:
    if delivery.discarded_at is not None:
        headline = "Set aside by a person: it is not sent."
    elif delivery.due_at is not None:
        headline = (
            f"{stay.not_there(timeline, fleet)} every attempt failed; it is tried again by itself."
        )
    else:
        headline = f"{stay.not_there(timeline, fleet)} it is not tried again until a person acts."
    return _Said(
        headline=headline,
        why=_error(delivery),
        steps=step.given_up(timeline, delivery, fleet, fixed),
    )


def _never_requested(timeline: Timeline, fleet: Fleet) -> _Said:
    booking = timeline.booking
    live = stay.live_of(timeline, fleet)
    if live is not None:
        return _Said(
            headline=f"{stay.in_words(live)}; nothing was asked for since.",
            why="" if live.state_known else "It was taken over: in which state is not known.",
        )
    if booking is None:
        return _Said(headline="The booking does not exist, and nothing is owed for it.")
    match booking.status:
        case BookingStatus.PENDING:
            return _Said(
                headline=f"Not in {fleet.pms}: the booking is not confirmed.",
                why=f"payment {booking.payment_status}",
            )
        case BookingStatus.CANCELLED:
            return _Said(headline=f"Cancelled, and {fleet.pms} never held it: nothing to do.")
        case BookingStatus.CONFIRMED | BookingStatus.COMPLETED:
            return _Said(
                headline=f"Not in {fleet.pms}: nobody has asked for it to be sent.",
                steps=(
                    step.send(timeline, "Send it:"),
                    step.link(timeline, f"Or, if it was entered in {fleet.pms} by hand:"),
                ),
            )
        case _:
            assert_never(booking.status)


def _synced(
    timeline: Timeline, fleet: Fleet, *, as_wanted: bool, price: UnknownPrice | None
) -> _Said:
    live = stay.live_of(timeline, fleet)
    if live is not None and not as_wanted:
        return _Said(
            headline=f"{stay.in_words(live)}, but the booking has changed since"
            " and nobody has asked for the change to be sent.",
            steps=(step.send(timeline, "Send it:"),),
        )
    if live is not None:
        cancelled = timeline.booking and timeline.booking.status is BookingStatus.CANCELLED
        but = "" if price is None else " but for the price, which is not known"
        return _Said(
            headline=f"{stay.in_words(live)},"
            f" {'cancelled there as here' if cancelled else f'as it is here{but}'}."
        )
    if timeline.reservations:
        off = Step(text="Set GUESTLY_TEST_MODE=false and restart the worker.")
        send = step.send(timeline, "Then send it:")
        return _Said(
            headline=f"TEST: not in {fleet.pms}. It was handled in test mode, where nothing is"
            " sent.",
            steps=(off, send) if fleet.mode.test_mode else (send,),
        )
    return _Said(headline=f"Nothing to do: {fleet.pms} does not hold it and does not have to.")


def _held(timeline: Timeline, fleet: Fleet) -> _Said:
    return _Said(
        headline=f"{stay.not_there(timeline, fleet)} it is held, and sent as soon as that ends.",
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
            headline=f"The {what} was given up after {counted(delivery.attempts, 'attempt')}.",
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


def _error(delivery: DeliveryFacts) -> str:
    if delivery.error_code is None:
        return ""
    return f"{delivery.error or 'no details'} ({delivery.error_code})"


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")
