"""What mends a refusal, by its error code. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: What ends with `outbox link` alone, by a person who has looked at the PMS or changed something
#: there: sent again, it is refused again.
BY_HAND: Mapping[str, str] = MappingProxyType(
    {
        "fare_fixed": "{pms} takes no new price for a reservation that it holds. Change it there by"
        " hand, then say that it is done:",
        "contact_fixed": "{pms} takes no other guest for a reservation that it holds. Change name,"
        " e-mail or phone there by hand, then say that it is done:",
        "fare_and_contact_fixed": "{pms} takes neither a new price nor another guest for a"
        " reservation that it holds. Change the price, and name, e-mail or phone there by hand,"
        " then say that both are done:",
        "held_elsewhere": "A reservation in another system is on record for it, none in {pms}. If"
        " {pms} holds it under that id, say so; if not, enter the stay there, and give the id that"
        " it has there:",
    }
)
#: The nights are not to be had, so that nothing sells them to somebody else either.
NIGHTS_TAKEN = frozenset(
    {"listing_not_available", "listing_is_not_available", "listing_calendar_blocked"}
)
_TAKEN = (
    "{pms} says that the nights are not free: they were sold elsewhere, or closed. Move the guest,"
    " or cancel and refund."
)
#: What to do about refusals whose code tells more than the error's own sentence.
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "phone_invalid": "Correct the guest's phone number on the site, with its country code, or"
        " empty it.",
        "reference_invalid": "Correct the booking reference on the site.",
        **dict.fromkeys(sorted(NIGHTS_TAKEN), _TAKEN),
    }
)
