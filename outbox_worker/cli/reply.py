"""What a command answers: a record for programs, lines for people, and an exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID

from outbox_worker.cli.exits import ExitCode

SCHEMA = "outbox/1"

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer of one command.

    Args:
        data: A frozen record, or a mapping or sequence of such; printed by ``--json``.
        lines: The same for people, at most 80 columns each where the data allow it.
        code: Exit code.
    """

    data: object
    lines: tuple[str, ...] = ()
    code: int = ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An expected error, ready to be printed.

    Args:
        message: What happened and why.
        hint: What to do next; may be empty.
        details: One line each: every fault of the settings, every candidate of a reference.
        usage: The whole help of a command, shown instead of the error to who named none.
    """

    code: ExitCode
    message: str
    hint: str = ""
    details: tuple[str, ...] = ()
    usage: str = ""


def jsonable(value: object) -> JsonValue:
    """Turn a record into what ``json`` can write.

    Args:
        value: Dataclasses (by field name), enums (by value), aware datetimes (RFC 3339, UTC),
            dates, durations (seconds), decimals and UUIDs (strings), mappings and sequences.

    Raises:
        TypeError: A value of another type.
    """
    match value:
        case Enum():
            return jsonable(value.value)
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal() | UUID():
            return str(value)
        case Mapping():
            return {str(jsonable(key)): jsonable(item) for key, item in value.items()}
        case list() | tuple() | AbstractSet():
            return [jsonable(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {
                column.name: jsonable(_attribute(value, column.name)) for column in fields(value)
            }
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def reply_json(reply: Reply) -> str:
    """One JSON object for a command that ran; ``ok`` says whether its exit code is 0."""
    return _dump(
        {
            "schema": SCHEMA,
            "ok": reply.code == ExitCode.DONE,
            "data": jsonable(reply.data),
        }
    )


def fault_json(fault: Fault) -> str:
    """One JSON object for a command that could not run, or failed."""
    return _dump(
        {
            "schema": SCHEMA,
            "ok": False,
            "data": None,
            "error": {
                "exit_code": int(fault.code),
                "code": fault.code.name.lower(),
                "message": fault.message,
                "fix": fault.hint,
                "details": list(fault.details),
            },
        }
    )


def fault_lines(fault: Fault) -> tuple[str, ...]:
    """The lines that people read on stderr."""
    if fault.usage:
        return tuple(fault.usage.splitlines())
    return (
        f"error: {fault.message}",
        *(f"  - {detail}" for detail in fault.details),
        *((f"fix: {fault.hint}",) if fault.hint else ()),
    )


def printable(line: str) -> str:
    """A line that cannot steer a terminal: control characters of others' text appear escaped."""
    if line.isprintable():
        return line
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in line
    )


def _dump(document: dict[str, JsonValue]) -> str:
    return json.dumps(document, indent=2)


def _attribute(record: Any, name: str) -> object:
    return getattr(record, name)
