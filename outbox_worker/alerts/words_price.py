"""Words for a stay whose price in the PMS may not be what the guest has paid. Pure."""

from __future__ import annotations

from outbox_worker.alerts import phrasing, shown
from outbox_worker.alerts.alert import Incident
from outbox_worker.alerts.phrasing import Step, Tone, Words


def of(incident: Incident) -> Words:
    """The alert while it is open."""
    pms, stay = phrasing.pms(incident), incident.stay
    subject = phrasing.subject_of(incident)
    known = stay.reservation_id if stay is not None and not stay.test else None
    word = (shown.token(known) if known else None) or "RESERVATION_ID"
    right = (
        Step(text="Once it is right there, say so:", commands=(f"outbox link {subject} {word}",)),
    )
    return Words(
        tone=Tone.ACTION,
        symptom=f"{phrasing.booking(stay)} has changed: compare the price in {pms}",
        happened=(
            f"{pms} sets a price of its own after a change of listing, dates or guests.",
            "It may not be what the guest has paid.",
        ),
        guest_sees="Their booking as the site shows it, with the price that they have paid.",
        risk=f"{pms} may ask the guest for another amount than they have paid.",
        steps=(
            Step(
                text=f"Compare the price of the stay in {pms} with the total on the site. If it"
                " differs, correct it there by hand; collect or refund what is owed in Stripe.",
                commands=phrasing.look(incident).commands,
            ),
            *(right if subject else ()),
        ),
    )


def solved(incident: Incident) -> str:
    """The symptom once it is over."""
    return f"{phrasing.booking(incident.stay)}: its price needs no further look"
