"""Values as an alert shows them: safe to read, to put into a header and to paste into a shell.

Anybody may have written a booking's reference, and a PMS the error text. Nothing of theirs brings a
line break, a control or a direction mark, a link that mail programs would follow, or an address.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, timedelta
from decimal import Decimal

from outbox_worker.alerts.alert import Stay
from outbox_worker.redaction import mask

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_STRIPE_ID = re.compile(r"(?:evt|pi|cs|ch)_[A-Za-z0-9_]{1,80}|sha256:[0-9a-f]{64}")
_ERROR_CODE = re.compile(r"[a-z0-9][a-z0-9_]{0,79}")
#: With it every subject has room for its symptom.
_SHORT_NAME = 20
_LINE_CATEGORIES = frozenset({"Zl", "Zp", "Cc"})
#: Format characters (direction marks, zero-width ones), surrogates, private use, unassigned.
_DROPPED_CATEGORIES = frozenset({"Cf", "Cs", "Co", "Cn"})


def clean(text: str | None, limit: int) -> str:
    """One line of at most ``limit`` printable characters, without addresses and live links."""
    # cut first: nothing that is kept needs more than this, and masking long texts takes time
    composed = unicodedata.normalize("NFC", (text or "")[: limit * 4])
    kept = "".join(
        " " if unicodedata.category(letter) in _LINE_CATEGORIES else letter
        for letter in composed
        if unicodedata.category(letter) not in _DROPPED_CATEGORIES
    )
    line = mask(" ".join(kept.split())).replace("://", ": //")
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


def token(text: str) -> str | None:
    """The text if it can stand in a subject or a command as it is; else None."""
    known = _TOKEN.fullmatch(text) or _STRIPE_ID.fullmatch(text)
    return text if known and mask(text) == text else None


def error_code(text: str | None) -> str | None:
    """The text if it is a code of ours, such as ``http_503``; else None."""
    return text if text is not None and _ERROR_CODE.fullmatch(text) else None


def handle(stay: Stay) -> str:
    """What names the booking in a command: its reference where that is harmless, else its id."""
    return token(stay.reference) or str(stay.id)


def short_name(stay: Stay) -> str:
    """What names the booking in a subject: a short reference, else the beginning of its id."""
    short = token(stay.reference) if len(stay.reference) <= _SHORT_NAME else None
    return short or str(stay.id)[:8]


def reference(stay: Stay) -> str:
    """The booking reference as it may be read; ``(none)`` where nothing is left of it."""
    return clean(stay.reference, 60) or "(none)"


def day(value: date) -> str:
    """A date that no country misreads, such as ``22 Nov 2026``."""
    return f"{day_of_year(value)} {value.year}"


def day_of_year(value: date) -> str:
    """The same without its year."""
    return f"{value.day} {_MONTHS[value.month - 1]}"


def moment(value: datetime) -> str:
    """A point in time in UTC, to the minute; ``value`` is aware UTC."""
    return f"{day(value.date())}, {value:%H:%M} UTC"


def lasted(value: timedelta) -> str:
    """A duration in its two largest units."""
    minutes = max(int(value.total_seconds()) // 60, 0)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else "less than a minute"


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def property_of(stay: Stay) -> str:
    """Name and slug of the property."""
    name, slug = clean(stay.property_name, 80), clean(stay.slug, 60)
    if name and slug:
        return f"{name} ({slug})"
    return name or slug or "unknown"


def stay_of(stay: Stay) -> str:
    """Both dates and the number of nights."""
    first = day(stay.check_in) if stay.check_in else "unknown"
    last = day(stay.check_out) if stay.check_out else "unknown"
    nights = f", {counted(stay.nights, 'night')}" if stay.nights and stay.nights > 0 else ""
    return f"{first} to {last}{nights}"


def guests_of(stay: Stay, *, noun: str = "") -> str:
    """Number of guests as the PMS counts them, adults and children; infants beside it."""
    number = stay.adults + stay.children
    counts = counted(number, noun) if noun else str(number)
    parts = f" ({counted(stay.adults, 'adult')}, {counted(stay.children, 'child', 'children')})"
    infants = f", {counted(stay.infants, 'infant')}" if stay.infants else ""
    return f"{counts}{parts if stay.children else ''}{infants}"


def total_of(stay: Stay, currency: str) -> str:
    """The total with its currency."""
    return amount(stay.total, currency)


def amount(value: Decimal | None, currency: str) -> str:
    """An amount in major units; ``unknown`` where the site has none or not a number."""
    if value is None or not value.is_finite():
        return "unknown"
    return f"{value:,.2f} {currency}"
