"""What a command's exit code means."""

from __future__ import annotations

from enum import IntEnum

from outbox_worker.errors import (
    AmbiguousRefError,
    DatabaseUnreachableError,
    NotFoundError,
    OutboxError,
    RefusedError,
    SettingsError,
)


class ExitCode(IntEnum):
    """Exit codes of every command; scripts may rely on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DECLINED = 3
    UNREACHABLE = 4
    NEEDS_PERSON = 5
    NOT_FOUND = 6
    UNCHANGED = 7
    PARTLY = 8
    INTERRUPTED = 130


def exit_code_of(error: OutboxError) -> ExitCode:
    """The exit code of an expected error."""
    match error:
        case SettingsError() | AmbiguousRefError():
            return ExitCode.USAGE
        case DatabaseUnreachableError():
            return ExitCode.UNREACHABLE
        case NotFoundError():
            return ExitCode.NOT_FOUND
        case RefusedError():
            return ExitCode.UNCHANGED
        case _:
            return ExitCode.FAILED
