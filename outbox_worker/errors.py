"""The error tree. Adapters translate library errors into it at their border.

OutboxError
├── SettingsError            wrong or missing configuration; every fault at once
├── DatabaseError
│   ├── DatabaseUnreachableError  cannot connect, connection lost, server starting or shutting down
│   ├── DatabaseBusyError        somebody else was in the way: nothing took effect, ask again
│   └── SchemaError          not migrated, or row level security hides the site's tables
├── DecodeError              a row or a body does not have the shape that one parse function expects
├── MappingError             a booking cannot be expressed for the PMS; names the field
├── NotFoundError            nothing is known under that name
├── AmbiguousRefError        a short reference fits several rows
├── RefusedError             a guarded change that would do harm, or nothing, now
├── PmsUnansweredError       the PMS could not be asked, or did not say what it holds
└── AlertChannelError        the mail or chat server did not take the message
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


class OutboxError(Exception):
    """Base of all errors of this project.

    Args:
        message: What happened and why, one sentence, without guest data.
        hint: What to do next, or an empty string.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(OutboxError):
    """Configuration that cannot be used.

    Args:
        faults: One sentence each: the setting's name, what is wrong, what to do. Never a secret's
            value.
        hint: What to do next; empty: set them.
    """

    def __init__(self, faults: tuple[str, ...], *, hint: str = "") -> None:
        plural = "setting is" if len(faults) == 1 else "settings are"
        super().__init__(f"{len(faults)} {plural} wrong (nothing was started)", hint=hint)
        self.faults = faults


class DatabaseError(OutboxError):
    """Postgres could not do what was asked."""


class DatabaseUnreachableError(DatabaseError):
    """No connection, or the connection was lost: whether a commit took effect may be unknown."""


class DatabaseBusyError(DatabaseError):
    """A lock was not free in time, or a deadlock: nothing took effect, and asking again may."""


class SchemaError(DatabaseError):
    """The database is reachable but not as this version needs it."""


class DecodeError(OutboxError):
    """A row or a body of an unexpected shape."""


class MappingError(OutboxError):
    """A booking that cannot be expressed for the PMS; no call was made.

    Args:
        code: Stable snake_case name of the fault.
        field: Column of the booking at fault.
        message: One sentence for operators, without guest data.
        hint: The command or change that mends it.
    """

    def __init__(self, code: str, field: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.field = field


class NotFoundError(OutboxError):
    """Nothing is known under the given reference."""


class AmbiguousRefError(OutboxError):
    """A shortened reference fits more than one row.

    Args:
        candidates: The references it could mean.
    """

    def __init__(self, message: str, *, candidates: tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


class RefusedError(OutboxError):
    """A guarded change that was not made, with the reason."""


class PmsUnansweredError(OutboxError):
    """A question to the PMS that got no usable answer; nothing was changed.

    Args:
        code: Stable snake_case name, such as ``timeout`` or ``unauthorized``.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class AlertChannelError(OutboxError):
    """The alert channel did not accept the message; it will be tried again.

    Args:
        code: Stable snake_case name, such as ``smtp_unreachable`` or ``email_api_401``.
        ambiguous: Whether the message may have been accepted all the same.
        retry_after: How long the server asks to wait; None: it does not ask.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        ambiguous: bool = False,
        http_status: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.ambiguous = ambiguous
        self.http_status = http_status
        self.retry_after = retry_after
