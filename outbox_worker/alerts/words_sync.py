"""Words for what the PMS did not take. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import assert_never

from outbox_worker.alerts import phrasing, shown
from outbox_worker.alerts.alert import AlertKind, Incident, NamedDelivery, Stay
from outbox_worker.alerts.phrasing import Step, Tone, Words
from outbox_worker.alerts.words_access import ACCESS
from outbox_worker.alerts.words_refused import BY_HAND, NIGHTS_TAKEN, REMEDIES
from outbox_worker.outbox.delivery import State
from outbox_worker.pms.port import PmsName
from outbox_worker.settings_catalogue import KEPT_IN

#: Commands in one mail; beyond it the list itself would be the trouble.
_COMMANDS = 10

#: What to do about refusals that a correction of the booking alone does not mend.
_REFUSED = {
    "listing_missing": "Tell which listing the property is in {pms}:",
    "booking_gone": "The booking was deleted on the site. Cancel it in {pms} if it is there.",
    "reservation_gone": "{pms} no longer has the reservation. Find out who removed it, and "
    "if the guest still comes, enter the stay there by hand.",
    "foreign_reservation": "{pms} holds a reservation of somebody else under this reference. "
    "Correct its confirmation code there.",
    "several_reservations": "{pms} holds this booking more than once. Cancel all but the oldest.",
}


class _Gap(Enum):
    """How the PMS differs from the site."""

    MISSING = auto()
    OUTDATED = auto()
    UNCANCELLED = auto()
    DELETED = auto()


def trouble(incident: Incident) -> Words:
    """Bookings that were given up: attempts used up, or refused."""
    pms = phrasing.pms(incident)
    fresh = incident.fresh or incident.named
    if not fresh:
        return _reported(incident, pms)
    one = fresh[0] if len(fresh) == 1 else None
    itself = all(delivery.state is State.FAILED for delivery in fresh)
    return Words(
        tone=Tone.WARNING if itself else Tone.ACTION,
        symptom=_symptom_of_one(incident, one.stay, pms)
        if one
        else _symptom_of_many(incident, fresh, pms),
        extras=_soonest(fresh),
        happened=_happened(incident, fresh, pms),
        guest_sees=_guest_sees(fresh),
        risk=_risk(
            {_gap(delivery.stay) for delivery in fresh},
            pms,
            taken=incident.facts.get("code") in NIGHTS_TAKEN,
        ),
        steps=_steps(incident, fresh, pms),
    )


def misconfigured(incident: Incident) -> Words:
    """The PMS refuses our key or address: the bookings that wait for it."""
    pms = phrasing.pms(incident)
    fresh = incident.fresh or incident.named
    code = shown.error_code(incident.facts.get("code"))
    whose = "a booking" if len(fresh) == 1 else f"{len(fresh)} bookings" if fresh else "bookings"
    why = f" ({code})" if code else ""
    known = ACCESS.get(code or "")
    they, are, itself = ("It", "is", "itself") if len(fresh) == 1 else ("They", "are", "themselves")
    settings = (
        "GUESTLY_API_KEY and GUESTLY_API_URL"
        if pms == PmsName.GUESTLY.display_name
        else f"GUESTY_CLIENT_ID, GUESTY_CLIENT_SECRET {KEPT_IN} and GUESTY_API_URL"
    )
    return Words(
        tone=Tone.ACTION,
        symptom=_symptom_of_refusal(
            incident, fresh, known.symptom if known else f"{pms} refuses our key or address"
        ),
        extras=_soonest(fresh),
        happened=(
            known.happened
            if known
            else f"{pms} refuses the calls for {whose}{why}: usually the key or the address is"
            " wrong.",
            known.then if known else "One call is tried every five minutes.",
            f"{they} {are} sent by {itself} as soon as {pms} takes that.",
        ),
        guest_sees=_guest_sees(fresh),
        risk=_risk({_gap(delivery.stay) for delivery in fresh} or {_Gap.MISSING}, pms),
        steps=(
            known.step if known else Step(text=f"Correct {settings}, then restart the worker."),
            *(() if known else _refused_alone(fresh, pms)),
            Step(text="See how many bookings are waiting:", commands=("outbox status",)),
        ),
    )


def _symptom_of_refusal(incident: Incident, fresh: Sequence[NamedDelivery], refuses: str) -> str:
    if len(fresh) == 1:
        return f"{phrasing.booking(fresh[0].stay)} waits: {refuses}"
    number = f"{len(fresh)} {'more ' if incident.messages else ''}" if fresh else ""
    return f"{refuses}, {number}bookings are waiting"


def _refused_alone(fresh: Sequence[NamedDelivery], pms: str) -> Sequence[Step]:
    """For the case that key and address are right, and that one address of many is not."""
    if not fresh:
        return ()
    return (
        Step(
            text=f"If other bookings reach {pms} meanwhile, see what it answers to this one:",
            commands=(f"outbox show {phrasing.handle_of(fresh[0])}",),
        ),
    )


def _reported(incident: Incident, pms: str) -> Words:
    """A failure that the site's own program reported, with nothing owed on record."""
    known = phrasing.subject_of(incident)
    steps = [phrasing.look(incident)]
    if known:
        steps.append(Step(text="Send it:", commands=(f"outbox requeue {known} --wait",)))
    return Words(
        tone=Tone.ACTION,
        symptom=_symptom_of_one(incident, incident.stay, pms),
        happened=(
            f"A program of the site reported that {pms} did not take the booking.",
            "Nothing is owed on record: it is not tried again until a person acts.",
        ),
        guest_sees="Their booking as the site shows it. Nothing looks wrong to them.",
        risk=_risk({_gap(incident.stay)}, pms),
        steps=tuple(steps),
    )


def _gap(stay: Stay | None) -> _Gap:
    if stay is None:
        return _Gap.DELETED
    if stay.status == "cancelled":
        return _Gap.UNCANCELLED
    return _Gap.OUTDATED if stay.reservation_id and not stay.test else _Gap.MISSING


def _symptom_of_one(incident: Incident, stay: Stay | None, pms: str) -> str:
    name = phrasing.booking(stay)
    refused = incident.kind is AlertKind.SYNC_REJECTED
    gap = _gap(stay)
    match gap:
        case _Gap.MISSING:
            paid = stay is not None and stay.payment_status == "completed"
            if refused:
                return f"{name} {'is paid but cannot' if paid else 'cannot'} reach {pms}"
            return f"{name} is {'paid but ' if paid else ''}not in {pms}"
        case _Gap.OUTDATED:
            if refused:
                return f"{name} has changed, {pms} does not take it"
            return f"{name} has changed, {pms} has the old version"
        case _Gap.UNCANCELLED:
            if refused:
                return f"{name} is cancelled, {pms} does not take that"
            return f"{name} is cancelled, {pms} may still hold it"
        case _Gap.DELETED:
            return f"A deleted booking may {'remain' if refused else 'still be'} in {pms}"
        case _:
            assert_never(gap)


def _symptom_of_many(incident: Incident, fresh: Sequence[NamedDelivery], pms: str) -> str:
    number = f"{len(fresh)} more" if incident.messages else f"{len(fresh)}"
    stays = [delivery.stay for delivery in fresh]
    paid = all(stay is not None and stay.payment_status == "completed" for stay in stays)
    bookings = "paid bookings" if paid else "bookings"
    if incident.kind is AlertKind.SYNC_REJECTED:
        return f"{number} {bookings} cannot reach {pms}"
    if all(_gap(stay) is _Gap.MISSING for stay in stays):
        return f"{number} {bookings} are not in {pms}"
    return f"{number} {bookings} are not in {pms} as they should be"


def _soonest(fresh: Sequence[NamedDelivery]) -> tuple[str, ...]:
    days = [
        delivery.stay.check_in
        for delivery in fresh
        if delivery.stay is not None and delivery.stay.check_in and delivery.healed_at is None
    ]
    if not days:
        return ()
    what = "check-in" if len(fresh) == 1 else "first check-in"
    return (f"{what} {shown.day(min(days))}", f"{what} {shown.day_of_year(min(days))}")


def _happened(incident: Incident, fresh: Sequence[NamedDelivery], pms: str) -> tuple[str, ...]:
    code = shown.error_code(incident.facts.get("code"))
    why = f" ({code})" if code else ""
    if len(fresh) == 1:
        tried = shown.counted(fresh[0].attempts, "attempt")
        failed = f"{pms} did not take the booking: {tried} failed{why}."
        refused = f"The booking could not be sent to {pms}, or {pms} refused it{why}."
    else:
        failed = f"{pms} did not take {len(fresh)} bookings: every attempt failed{why}."
        refused = f"{len(fresh)} bookings could not be sent to {pms}, or {pms} refused them{why}."
    first = refused if incident.kind is AlertKind.SYNC_REJECTED else failed
    return (first, *_outlook(fresh))


def _outlook(fresh: Sequence[NamedDelivery]) -> tuple[str, ...]:
    """Whether anything happens by itself."""
    planned = [d.due_at for d in fresh if d.state is State.FAILED and d.due_at is not None]
    parked = sum(delivery.state is State.REJECTED for delivery in fresh)
    sentences = []
    if planned:
        which = _of_them(len(planned), fresh)
        sentences.append(f"{which} tried again without you, next at {shown.moment(min(planned))}.")
    if parked:
        which = _of_them(parked, fresh)
        sentences.append(f"{which} not tried again until a person acts.")
    return tuple(sentences)


def _of_them(number: int, fresh: Sequence[NamedDelivery]) -> str:
    if len(fresh) == 1:
        return "It is"
    return f"{number} of them {'is' if number == 1 else 'are'}"


def _guest_sees(fresh: Sequence[NamedDelivery]) -> str:
    words = {delivery.stay.status for delivery in fresh if delivery.stay is not None}
    if words == {"cancelled"}:
        return "A cancelled booking on the site. Nothing looks wrong to them."
    if words and words <= {"confirmed", "completed"}:
        return "A confirmed booking on the site. Nothing looks wrong to them."
    return "Their booking as the site shows it. Nothing looks wrong to them."


def _risk(gaps: set[_Gap], pms: str, *, taken: bool = False) -> str:
    """What may come of it; ``taken``: the PMS says that the nights are not free."""
    sentences = {
        _Gap.MISSING: f"The guest counts on nights that {pms} does not give them."
        if taken
        else f"The nights are still on sale in other channels, and {pms} prepares nothing "
        "for the arrival.",
        _Gap.OUTDATED: f"{pms} and what it tells other channels and the guest are out of date.",
        _Gap.UNCANCELLED: f"The nights may stay blocked in {pms}, and the guest still hears of it.",
        _Gap.DELETED: f"The nights may stay blocked in {pms}.",
    }
    return " ".join(text for gap, text in sentences.items() if gap in gaps)


def _steps(incident: Incident, fresh: Sequence[NamedDelivery], pms: str) -> tuple[Step, ...]:
    handles = [phrasing.handle_of(delivery) for delivery in fresh]
    code = shown.error_code(incident.facts.get("code"))
    if len(handles) == 1:
        look, again = f"outbox show {handles[0]}", f"outbox requeue {handles[0]} --wait"
    else:
        filtered = f" --error {code}" if code else ""
        look, again = f"outbox show {handles[0]}", f"outbox requeue --failed{filtered}"
    steps = [Step(text="See every attempt and its error:", commands=(look,))]
    if incident.kind is AlertKind.SYNC_REJECTED:
        steps += _correction(code, fresh, pms)
        if code in BY_HAND:
            return tuple(steps)
        steps.append(Step(text="Then send it again:", commands=(again,)))
        return tuple(steps)
    steps.append(Step(text=f"As soon as {pms} works again, send at once:", commands=(again,)))
    if any(_gap(delivery.stay) is _Gap.MISSING for delivery in fresh):
        steps.append(
            Step(
                text=f"Cannot wait? Enter the stay in {pms} by hand, with the booking reference as "
                "its confirmation code: the next attempt finds it by that code and takes it over."
            )
        )
    return tuple(steps)


def _correction(code: str | None, fresh: Sequence[NamedDelivery], pms: str) -> list[Step]:
    by_hand = BY_HAND.get(code or "")
    if by_hand is not None:
        return [Step(text=by_hand.format(pms=pms), commands=tuple(_links(fresh)))]
    known = _REFUSED.get(code or "") or REMEDIES.get(code or "")
    if known is None:
        return [Step(text="Correct what the error names, on the site or in " + pms + ".")]
    commands: tuple[str, ...] = ()
    if code == "listing_missing":
        slugs = {delivery.stay.slug or "" for delivery in fresh if delivery.stay is not None}
        wanted = sorted({shown.token(slug) or "SLUG" for slug in slugs})
        commands = tuple(f"outbox listings set {slug} LISTING_ID" for slug in wanted[:_COMMANDS])
    return [Step(text=known.format(pms=pms), commands=commands)]


def _links(fresh: Sequence[NamedDelivery]) -> Iterator[str]:
    for delivery in fresh[:_COMMANDS]:
        stay = delivery.stay
        known = stay.reservation_id if stay is not None and not stay.test else None
        word = (shown.token(known) if known else None) or "RESERVATION_ID"
        yield f"outbox link {phrasing.handle_of(delivery)} {word}"
