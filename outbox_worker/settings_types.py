"""Settings as values: one frozen record per area, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Secret:
    """A value that shows itself only when asked: `str`, `repr` and format print ``***``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens.

    Args:
        host: Host name or IP address, IPv6 without brackets.
        port: 0 to 65535; 0 lets the system choose a free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class LogFormat(StrEnum):
    """How log lines look; ``auto`` is console on a terminal and JSON otherwise."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """Least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where Postgres is.

    Args:
        url: For everything, perhaps through a transaction pooler.
        listen_url: Direct connection for LISTEN and migrations; ``url`` where none is set.
    """

    url: Secret
    listen_url: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeSettings:
    """Which events are ours.

    Args:
        webhook_secrets: Signing secrets, any of which is accepted; never empty.
        livemode: Only events of this mode; None: both.
        account: Only events of this account; None: every account.
        currency: ISO 4217, upper case.
    """

    webhook_secrets: tuple[Secret, ...]
    livemode: bool | None
    account: str | None
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings:
    """How bookings reach the PMS.

    Args:
        enabled: False holds bookings without dropping them.
        test_mode: True sends nothing.
        pms: Name of the adapter; decides which of the next four are used.
        api_url: Base address without a slash at its end.
        api_key: Guestly's.
        client_id, client_secret: Guesty's.
        currency: ISO 4217, upper case.
        timeout: Longest wait for one call.
        quiet: No write is repeated earlier than this after one of unknown outcome.
        lookup_before_create: Whether the reference is looked up before every create.
        max_attempts: Attempts of one round, 1 or more.
        retry_base, retry_cap: Waits between attempts; base <= cap.
        redrive_every: Between new rounds of a failed booking.
        redrive_for: No new round begins later than this after the first failure; zero: never.
        circuit_failures: Unanswered calls in a row that open the circuit.
        rate_per_second, rate_per_minute, rate_per_hour: Calls of all workers together; 0: no limit.
    """

    enabled: bool
    test_mode: bool
    pms: str
    api_url: str | None
    api_key: Secret | None
    client_id: Secret | None
    client_secret: Secret | None
    currency: str
    timeout: timedelta
    quiet: timedelta
    lookup_before_create: bool
    max_attempts: int
    retry_base: timedelta
    retry_cap: timedelta
    redrive_every: timedelta
    redrive_for: timedelta
    circuit_failures: int
    rate_per_second: int
    rate_per_minute: int
    rate_per_hour: int

    @property
    def access(self) -> bool:
        """Whether all is set that a call needs; always so when enabled and not in test mode."""
        keys = (self.api_key,) if self.pms == "guestly" else (self.client_id, self.client_secret)
        return self.api_url is not None and None not in keys


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How one worker runs.

    Args:
        concurrency: Calls under way at once.
        lease: How long a claimed row is the worker's own; at least twice the PMS time-out.
        poll: Longest time between two looks into the outbox.
        shutdown: How long a stopping worker finishes what is under way; may be zero.
        metrics_address: None: off.
        heartbeat_url: Called while the worker works, for whoever watches it; None: off.
    """

    concurrency: int
    lease: timedelta
    poll: timedelta
    shutdown: timedelta
    metrics_address: Address | None
    heartbeat_url: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """Who is told, and through what.

    Args:
        recipients: E-mail addresses; empty: nobody is mailed.
        sender: Bare address; set when there are recipients and a way to mail them.
        api_endpoint: HTTP API that takes mail.
        api_key: Key of that API.
        smtp_url: Mail server instead of the API.
        chat_webhook_url: Incoming webhook of a chat channel.
    """

    recipients: tuple[str, ...]
    sender: str | None
    api_endpoint: str
    api_key: Secret | None
    smtp_url: Secret | None
    chat_webhook_url: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """Where the webhook receiver listens."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """How long finished things are kept: history for ``days``, event bodies for ``body_days``."""

    days: timedelta
    body_days: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How log lines look, and the least severe level that is logged."""

    format: LogFormat
    level: LogLevel
