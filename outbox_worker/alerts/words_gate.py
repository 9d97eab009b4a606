"""Words for a PMS that does not answer, and for a booking of which nobody knows. Pure."""

from __future__ import annotations

from outbox_worker.alerts import phrasing, shown
from outbox_worker.alerts.alert import AlertKind, Incident
from outbox_worker.alerts.phrasing import Step, Tone, Words
from outbox_worker.alerts.words_access import ACCESS, Access

_GUEST = "Their booking as the site shows it. Nothing looks wrong to them."


def of(incident: Incident) -> Words:
    """The words for an open alert of these kinds."""
    if incident.kind is AlertKind.CIRCUIT_OPEN:
        return _circuit_open(incident)
    return _uncertain(incident)


def _circuit_open(incident: Incident) -> Words:
    pms = phrasing.pms(incident)
    code = shown.error_code(incident.facts.get("code"))
    if code == "rate_limited":
        return _resting(pms)
    if (known := ACCESS.get(code or "")) is not None:
        return _without_access(pms, known)
    why = f" ({code})" if code else ""
    return Words(
        tone=Tone.WARNING,
        symptom=f"{pms} does not answer, bookings are held",
        happened=(
            f"Several calls in a row failed{why}, so nothing more is sent.",
            "One call is tried from time to time, at least once a minute.",
            f"Nothing is lost: as soon as {pms} answers, everything is sent by itself.",
        ),
        guest_sees=_GUEST,
        risk=f"Until then the nights of new bookings are still on sale in {pms}'s other channels.",
        steps=(
            Step(text=f"If it lasts, see whether {pms} reports an outage, or ask its support."),
            Step(text="See how many bookings are waiting:", commands=("outbox status",)),
            Step(
                text="Once it works again, there is no need to wait for the next try:",
                commands=("outbox resume guestly",),
            ),
        ),
    )


def _without_access(pms: str, known: Access) -> Words:
    return Words(
        tone=Tone.WARNING,
        symptom=f"{known.symptom}, bookings are held",
        happened=(
            known.happened,
            known.then,
            "Nothing is lost: with the next one, everything is sent by itself.",
        ),
        guest_sees=_GUEST,
        risk=f"Until then the nights of new bookings are still on sale in {pms}'s other channels.",
        steps=(
            known.step,
            Step(text="See how many bookings are waiting:", commands=("outbox status",)),
        ),
    )


def _resting(pms: str) -> Words:
    return Words(
        tone=Tone.WARNING,
        symptom=f"{pms} asks to be left alone, bookings are held",
        happened=(
            f"{pms} answers 429, too many calls: for 15 minutes now, or it asks for as long.",
            f"Nothing is lost: everything is sent by itself as soon as {pms} takes it.",
        ),
        guest_sees=_GUEST,
        risk=f"Until then the nights of new bookings are still on sale in {pms}'s other channels.",
        steps=(
            Step(text=f"See whether another program uses the same account of {pms}."),
            Step(text="Lower PMS_RATE_PER_MINUTE if its limit is lower, and restart the worker."),
            Step(text="See how many bookings are waiting:", commands=("outbox status",)),
        ),
    )


def _uncertain(incident: Incident) -> Words:
    pms = phrasing.pms(incident)
    fresh = incident.fresh or incident.named
    one = fresh[0] if len(fresh) == 1 else None
    known = phrasing.subject_of(incident)
    whose = phrasing.booking(one.stay) if one else shown.counted(len(fresh), "booking")
    verb = "is" if one else "are"
    return Words(
        tone=Tone.WARNING,
        symptom=f"{whose} {verb} perhaps in {pms}, perhaps not",
        happened=(
            f"A call to {pms} ended without an answer more than 15 minutes ago.",
            "Asking what became of it has failed since.",
            "It is asked again by itself; nothing is sent twice.",
        ),
        guest_sees=_GUEST,
        risk=f"If it is not there, its nights are still on sale in {pms}'s other channels.",
        steps=(
            Step(
                text=f"Ask {pms} now:" if known else "See what is known:",
                commands=(f"outbox check {known}" if known else "outbox status",),
            ),
            *(
                (
                    Step(
                        text=f"If you find the reservation in {pms} yourself, say which it is:",
                        commands=(f"outbox link {known} RESERVATION_ID",),
                    ),
                )
                if known
                else ()
            ),
        ),
    )
