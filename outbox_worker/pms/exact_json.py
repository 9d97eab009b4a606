"""JSON without floating point: a Decimal keeps its digits, out and in. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from outbox_worker.errors import DecodeError


def encode(value: Any) -> str:
    """JSON in ASCII, with the digits of a Decimal as they are.

    Args:
        value: Text, whole numbers, truth values, Decimals, None, and mappings and lists of these.

    Raises:
        TypeError: A value of another type; ValueError: a Decimal that is no number.
    """
    match value:
        case bool() | str() | int() | None:
            return json.dumps(value)
        case Decimal():
            if not value.is_finite():
                raise ValueError("JSON has no such number")
            return format(value, "f")
        case Mapping():
            members = (f"{json.dumps(name)}: {encode(member)}" for name, member in value.items())
            return "{" + ", ".join(members) + "}"
        case list():
            return "[" + ", ".join(map(encode, value)) + "]"
        case _:
            raise TypeError(f"a reservation holds no {type(value).__name__}")


def decode(body: bytes) -> Any:
    """Parsed JSON, its fractions as Decimal.

    Raises:
        DecodeError: It is not JSON, or nested beyond reason.
    """
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refused)
    except (ValueError, RecursionError, ArithmeticError):
        # the parser's own message quotes the body
        raise DecodeError("the answer is not JSON") from None


def _refused(_constant: str) -> Any:
    raise ValueError("JSON has no NaN and no infinity")
