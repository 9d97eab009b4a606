"""Fields of a reservation in the Guestly contract: each one's rule. Pure."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_CENT = Decimal("0.01")
#: With ten digits before the point and two after it, a fare stays exact as a JSON number.
_FARE_LIMIT = Decimal(10) ** 10
_LONGEST_NOTES = 20_000


class FieldError(Exception):
    """What is wrong with one field, as the end of a sentence."""


def text(value: Any) -> str:
    """A required text that is not empty."""
    if value is None:
        raise FieldError("is required")
    if not isinstance(value, str) or not value.strip():
        raise FieldError("must be a text that is not empty")
    return _encodable(value, limit=255)


def optional_text(value: Any) -> str | None:
    """A text that is not empty, or None."""
    return None if value is None else text(value)


def notes(value: Any) -> str:
    """A text that may be empty or missing."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FieldError("must be a text")
    return _encodable(value, limit=_LONGEST_NOTES)


def _encodable(value: str, *, limit: int) -> str:
    if len(value) > limit:
        raise FieldError(f"must have at most {limit} characters")
    # NUL and lone surrogates pass through JSON escapes, but no real PMS can store them
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise FieldError("must be a text without NUL and lone surrogates")
    return value


def email(value: Any) -> str | None:
    """An e-mail address, or None."""
    if value is None:
        return None
    address = text(value)
    if "@" not in address:
        raise FieldError("must be an e-mail address")
    return address


def day(value: Any) -> date:
    """A required date."""
    if value is None:
        raise FieldError("is required")
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise FieldError("must be a date YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise FieldError("must be a date of the calendar") from None


def guests(value: Any) -> int:
    """A required number of people."""
    if value is None:
        raise FieldError("is required")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:  # noqa: PLR2004 # an absurdity check
        raise FieldError("must be a whole number from 1 to 1000")
    return value


def fare(value: Any) -> Decimal:
    """A required amount in major units, two decimals."""
    if value is None:
        raise FieldError("is required")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise FieldError("must be a number")
    # a document of our own holds a float whose shortest form is the exact fare
    fare = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not 0 <= fare < _FARE_LIMIT:
        raise FieldError("must be a number from 0 to below 10,000,000,000")
    cents = fare.quantize(_CENT)
    if cents != fare:
        raise FieldError("must have at most two decimals")
    return cents


def currency(value: Any) -> str:
    """A required code."""
    if value is None:
        raise FieldError("is required")
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise FieldError("must be a currency code of three capital letters")
    return value
