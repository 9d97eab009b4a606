"""Fields of a request to the Guesty API: every missing or wrong one is named at once. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from outbox_worker.simulator.form import Issue
from outbox_worker.simulator.guesty_refusal import invalid

E = TypeVar("E", bound=StrEnum)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PHONE = re.compile(r"\+[0-9](?:[0-9 -]{3,22})[0-9]", re.ASCII)
_CENT = Decimal("0.01")
#: So that the sum of two has at most ten digits before the point: exact as a JSON number.
_FARE_LIMIT = Decimal(10) ** 9
_MOST_GUESTS = 1000


class Fields:
    """One JSON object of a request; `check` refuses it when anything was wrong.

    What a field's method returns when the field is missing or wrong only fills its place: it must
    not be used before `check`.

    Args:
        raw: The object.
        known: Its fields; any other one is refused.
        within: Path of the object with a point at its end, for the issues.
        issues: Of the whole request.
    """

    def __init__(
        self,
        raw: object,
        known: AbstractSet[str],
        *,
        within: str = "",
        issues: list[Issue] | None = None,
    ) -> None:
        self._issues = [] if issues is None else issues
        self._within = within
        self._raw: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            self._issues.append(Issue(path=within.rstrip("."), message="Expected object"))
        for name in sorted(set(self._raw) - known):
            self.refuse(name, "is not allowed")

    def __contains__(self, name: str) -> bool:
        return self._raw.get(name) is not None

    def check(self) -> None:
        """End the parsing.

        Raises:
            GuestyRefusedError: 400 with all issues.
        """
        if self._issues:
            raise invalid(self._issues)

    def refuse(self, name: str, message: str) -> None:
        """Add an issue."""
        self._issues.append(Issue(path=f"{self._within}{name}", message=message))

    def object(self, name: str, known: AbstractSet[str]) -> Fields:
        """An object within; one that is missing counts as empty."""
        return Fields(
            self._raw.get(name) or {},
            known,
            within=f"{self._within}{name}.",
            issues=self._issues,
        )

    def text(self, name: str, *, required: bool = True, limit: int = 255) -> str | None:
        """A text that is not empty."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self.refuse(name, "Expected a text that is not empty")
        elif len(value) > limit:
            self.refuse(name, f"must have at most {limit} characters")
        elif "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            self.refuse(name, "must be a text without NUL and lone surrogates")
        else:
            return value
        return None

    def needed(self, name: str, *, limit: int = 255) -> str:
        """A required text."""
        return self.text(name, limit=limit) or ""

    def any_text(self, name: str, *, limit: int) -> str | None:
        """A text that may be empty; None when it is missing."""
        return "" if self._raw.get(name) == "" else self.text(name, required=False, limit=limit)

    def day(self, name: str) -> date:
        """A required date."""
        value = self._value(name, required=True)
        try:
            if isinstance(value, str) and _DATE.fullmatch(value):
                return date.fromisoformat(value)
        except ValueError:
            pass
        if value is not None:
            self.refuse(name, "Expected a date YYYY-MM-DD")
        return date.min

    def whole(self, name: str, *, least: int, default: int | None = None) -> int:
        """A number of people; required unless there is a default."""
        value = self._value(name, required=default is None)
        if value is None:
            return default or 0
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, "Expected a whole number")
        elif not least <= value <= _MOST_GUESTS:
            self.refuse(name, f"must be from {least} to {_MOST_GUESTS}")
        else:
            return value
        return 0

    def money(self, name: str) -> Decimal | None:
        """An amount in major units, two decimals; None when it is missing."""
        value = self._value(name, required=False)
        if value is None:
            return None
        amount = Decimal(-1)
        if not isinstance(value, bool) and isinstance(value, int | Decimal):
            amount = Decimal(value)
        if not 0 <= amount < _FARE_LIMIT or amount.quantize(_CENT) != amount:
            self.refuse(name, "Expected number, 0 or more, with at most two decimals")
            return None
        return amount.quantize(_CENT)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._value(name, required=False)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, "Expected boolean")
            return default
        return value

    def word(self, name: str, kind: type[E], default: E) -> E:
        """One of some words; required."""
        value = self._value(name, required=True)
        if value is not None:
            try:
                return kind(value)
            except ValueError:
                self.refuse(name, f"Expected one of {', '.join(kind)}")
        return default

    def email(self, name: str, *, required: bool) -> str | None:
        """An e-mail address."""
        value = self.text(name, required=required)
        if value is not None and "@" not in value:
            self.refuse(name, "Expected an e-mail address")
        return value

    def phones(self, name: str) -> tuple[str, ...]:
        """A required list of numbers with their country codes; it may be empty."""
        value = self._value(name, required=True)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.refuse(name, "Expected array")
            return ()
        for place, phone in enumerate(value):
            if not isinstance(phone, str) or not _PHONE.fullmatch(phone):
                self.refuse(f"{name}.{place}", "Expected a number with its country code")
        return tuple(str(phone) for phone in value)

    def _value(self, name: str, *, required: bool) -> Any:
        value = self._raw.get(name)
        if value is None and required:
            self.refuse(name, "Required")
        return value
