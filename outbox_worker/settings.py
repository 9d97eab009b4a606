"""Settings of every process, read from a mapping; all faults are reported at once.

    reader = SettingsReader(environ)
    database, sync = reader.database(), reader.sync()
    reader.finish()  # raises SettingsError with every fault of these areas and every misspelt name

Values are never printed, only names. What a variable means and its default stand in
`settings_catalogue`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from outbox_worker import settings_values as values
from outbox_worker.errors import SettingsError
from outbox_worker.settings_catalogue import CREDENTIALS_FOLDER, SETTINGS
from outbox_worker.settings_source import default_of, misspelt, text_of
from outbox_worker.settings_types import (
    Address,
    AlertSettings,
    DatabaseSettings,
    LogFormat,
    LogLevel,
    LogSettings,
    ReceiverSettings,
    RetentionSettings,
    Secret,
    StripeSettings,
    SyncSettings,
    WorkerSettings,
)

__all__ = [
    "Address",
    "AlertSettings",
    "DatabaseSettings",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "ReceiverSettings",
    "RetentionSettings",
    "Secret",
    "SettingsReader",
    "StripeSettings",
    "SyncSettings",
    "WorkerSettings",
]

T = TypeVar("T")

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


class _PmsWord(StrEnum):
    GUESTLY = "guestly"
    GUESTY = "guesty"


#: Settings that a call needs, by the value of ``PMS``.
NEEDED_TO_CALL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        _PmsWord.GUESTLY: ("GUESTLY_API_URL", "GUESTLY_API_KEY"),
        _PmsWord.GUESTY: ("GUESTY_CLIENT_ID", "GUESTY_CLIENT_SECRET"),
    }
)

#: By the value of ``PMS``: the least limit of calls under which a booking can go on, as so many are
#: taken at once; see `port.Pms.most_calls`.
LEAST_RATE: Mapping[str, int] = MappingProxyType({_PmsWord.GUESTLY: 2, _PmsWord.GUESTY: 3})


class SettingsReader:
    """Reads areas of settings and collects their faults until `finish`.

    Args:
        environ: Environment variables; an empty value counts as unset.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: dict[str, None] = {}

    def database(self) -> DatabaseSettings:
        """``DATABASE_URL`` and ``DATABASE_LISTEN_URL``."""
        url = self._required(
            "DATABASE_URL",
            values.postgres,
            Secret(""),
            why=(
                "bookings and outbox are kept in Postgres; set it to "
                "postgresql://user:password@host:5432/database"
            ),
        )
        return DatabaseSettings(
            url=url, listen_url=self._optional("DATABASE_LISTEN_URL", values.postgres) or url
        )

    def stripe(self) -> StripeSettings:
        """``STRIPE_*`` that the receiver needs, and ``BOOKING_CURRENCY``."""
        return StripeSettings(
            webhook_secrets=self._required(
                "STRIPE_WEBHOOK_SECRET",
                values.signing_secrets,
                (),
                why="without it anybody could confirm bookings; copy it from Stripe's webhook page",
            ),
            livemode=self._optional("STRIPE_LIVEMODE", values.boolean),
            account=self._optional("STRIPE_ACCOUNT", values.stripe_account),
            currency=self._default("BOOKING_CURRENCY", values.currency),
        )

    def sync(self) -> SyncSettings:
        """``GUESTLY_*``, ``PMS*``, ``SYNC_*`` and ``BOOKING_CURRENCY``."""
        enabled = self._default("GUESTLY_SYNC_ENABLED", values.boolean)
        test_mode = self._default("GUESTLY_TEST_MODE", values.boolean)
        pms = self._default("PMS", values.choice(_PmsWord))
        api_key = self._optional("GUESTLY_API_KEY", values.key)
        client_id = self._optional("GUESTY_CLIENT_ID", values.key)
        client_secret = self._optional("GUESTY_CLIENT_SECRET", values.key)
        guestly_url = self._optional("GUESTLY_API_URL", values.base_address)
        guesty_url = self._default("GUESTY_API_URL", values.unversioned_address)
        if enabled and not test_mode:
            for name in NEEDED_TO_CALL[pms]:
                if not self._is_set(name):
                    self._fault(
                        f"{name} is missing, and GUESTLY_SYNC_ENABLED=true with "
                        f"GUESTLY_TEST_MODE=false needs it: {_set_it(name)}, or turn test mode on"
                    )
        quiet = self._duration("PMS_QUIET_SECONDS", _SECOND, least=0, most=3600)
        retry_base = self._duration("SYNC_RETRY_BASE_SECONDS", _SECOND, least=0.001, most=3600)
        retry_cap = self._duration("SYNC_RETRY_CAP_SECONDS", _SECOND, least=0.001, most=86400)
        if retry_cap < retry_base:
            self._fault("SYNC_RETRY_CAP_SECONDS is below SYNC_RETRY_BASE_SECONDS: raise it")
        return SyncSettings(
            enabled=enabled,
            test_mode=test_mode,
            pms=pms.value,
            api_url=guesty_url if pms is _PmsWord.GUESTY else guestly_url,
            api_key=api_key,
            client_id=client_id,
            client_secret=client_secret,
            currency=self._default("BOOKING_CURRENCY", values.currency),
            timeout=self._timeout(),
            quiet=quiet,
            lookup_before_create=self._default("PMS_LOOKUP_BEFORE_CREATE", values.boolean),
            max_attempts=self._integer("SYNC_MAX_ATTEMPTS", most=1000),
            retry_base=retry_base,
            retry_cap=retry_cap,
            redrive_every=self._duration("SYNC_REDRIVE_MINUTES", _MINUTE, least=0.01, most=10080),
            redrive_for=self._duration("SYNC_REDRIVE_HOURS", _HOUR, least=0, most=8760),
            circuit_failures=self._integer("PMS_CIRCUIT_FAILURES", most=100_000),
            rate_per_second=self._rate("PMS_RATE_PER_SECOND", pms, most=100_000),
            rate_per_minute=self._rate("PMS_RATE_PER_MINUTE", pms, most=1_000_000),
            rate_per_hour=self._rate("PMS_RATE_PER_HOUR", pms, most=10_000_000),
        )

    def pms_access(self, sync: SyncSettings) -> None:
        """Demand address and key, for a command that calls the PMS whatever the switches say.

        Args:
            sync: What `sync` of this reader answered.
        """
        if sync.enabled and not sync.test_mode:
            return  # demanded there already
        for name in NEEDED_TO_CALL[sync.pms]:
            if not self._is_set(name):
                whom = sync.pms.capitalize()
                self._fault(
                    f"{name} is missing, and this command asks {whom} itself: {_set_it(name)}"
                )

    def worker(self) -> WorkerSettings:
        """``WORKER_*``, ``METRICS_ADDRESS``, ``HEARTBEAT_URL``; the lease must fit the time-out."""
        lease = self._duration("WORKER_LEASE_SECONDS", _SECOND, least=0.1, most=3600)
        if lease < 2 * self._timeout():
            self._fault(
                "WORKER_LEASE_SECONDS is below twice PMS_TIMEOUT_SECONDS, so a call could outlive "
                "the lease and be repeated: raise the lease or lower the time-out"
            )
        # an explicitly empty address turns the server off, while an unset one has a default
        metrics_off = self._environ.get("METRICS_ADDRESS", "unset").strip() == ""
        return WorkerSettings(
            concurrency=self._integer("WORKER_CONCURRENCY", most=1000),
            lease=lease,
            poll=self._duration("WORKER_POLL_SECONDS", _SECOND, least=0.01, most=3600),
            shutdown=self._duration("WORKER_SHUTDOWN_SECONDS", _SECOND, least=0, most=3600),
            metrics_address=None
            if metrics_off
            else self._default("METRICS_ADDRESS", values.address),
            heartbeat_url=self._optional("HEARTBEAT_URL", values.secret_web_address),
        )

    def alerts(self) -> AlertSettings:
        """``ADMIN_ALERT_EMAIL``, ``EMAIL_*``, ``SMTP_URL`` and ``ALERT_CHAT_WEBHOOK_URL``."""
        recipients = self._optional("ADMIN_ALERT_EMAIL", values.emails) or ()
        sender = self._optional("EMAIL_FROM", values.email)
        api_key = self._optional("EMAIL_API_KEY", values.key)
        smtp_url = self._optional("SMTP_URL", values.smtp_address)
        mailed = self._is_set("EMAIL_API_KEY") or self._is_set("SMTP_URL")
        if self._is_set("ADMIN_ALERT_EMAIL") and mailed and not self._is_set("EMAIL_FROM"):
            self._fault(
                "EMAIL_FROM is missing, and mail servers refuse mail without a sender: set it to "
                "an address that yours may send from, or remove ADMIN_ALERT_EMAIL"
            )
        return AlertSettings(
            recipients=recipients,
            sender=sender,
            api_endpoint=self._default("EMAIL_API_ENDPOINT", values.web_address),
            api_key=api_key,
            smtp_url=smtp_url,
            chat_webhook_url=self._optional("ALERT_CHAT_WEBHOOK_URL", values.chat_webhook),
        )

    def receiver(self) -> ReceiverSettings:
        """``RECEIVER_ADDRESS``."""
        return ReceiverSettings(address=self._default("RECEIVER_ADDRESS", values.address))

    def retention(self) -> RetentionSettings:
        """``RETENTION_DAYS`` and ``BODY_RETENTION_DAYS``."""
        return RetentionSettings(
            days=self._duration("RETENTION_DAYS", _DAY, least=1, most=36500),
            body_days=self._duration("BODY_RETENTION_DAYS", _DAY, least=1, most=36500),
        )

    def log(self) -> LogSettings:
        """``LOG_FORMAT`` and ``LOG_LEVEL``."""
        return LogSettings(
            format=self._default("LOG_FORMAT", values.choice(LogFormat)),
            level=self._default("LOG_LEVEL", values.choice(LogLevel)),
        )

    def actor(self) -> str | None:
        """``OUTBOX_ACTOR``, the operator's name for the audit log; None: the system's user."""
        return self._optional("OUTBOX_ACTOR", values.word)

    def finish(self) -> None:
        """Report what is wrong.

        Raises:
            SettingsError: Every fault of the areas that were asked for, then every misspelt name.
        """
        faults = (*self._faults, *misspelt(self._environ))
        if faults:
            raise SettingsError(faults)

    def _timeout(self) -> timedelta:
        return self._duration("PMS_TIMEOUT_SECONDS", _SECOND, least=0.05, most=600)

    def _integer(self, name: str, *, most: int) -> int:
        return self._default(name, values.integer(least=1, most=most))

    def _rate(self, name: str, pms: _PmsWord, *, most: int) -> int:
        rate, least = self._default(name, values.integer(least=0, most=most)), LEAST_RATE[pms]
        if 0 < rate < least:
            self._fault(
                f"{name} is {rate}, and one step of a booking can take {least} calls to"
                f" {pms.capitalize()}: set {least} or more, or 0 for no limit"
            )
        return rate

    def _duration(self, name: str, unit: timedelta, *, least: float, most: float) -> timedelta:
        return self._default(name, values.duration(unit, least=least, most=most))

    def _default(self, name: str, parse: Callable[[str], T]) -> T:
        value = self._optional(name, parse)
        return parse(default_of(name, self._environ)) if value is None else value

    def _required(self, name: str, parse: Callable[[str], T], placeholder: T, *, why: str) -> T:
        if not self._is_set(name):
            self._fault(f"{name} is missing: {why}")
            return placeholder
        value = self._optional(name, parse)
        return placeholder if value is None else value

    def _optional(self, name: str, parse: Callable[[str], T]) -> T | None:
        try:
            text = text_of(name, self._environ)
            return parse(text) if text else None
        except ValueError as error:
            self._fault(f"{name} {error}")
            return None

    def _is_set(self, name: str) -> bool:
        try:
            return bool(text_of(name, self._environ))
        except ValueError:
            return True  # given, though unusably: that is a fault of its own

    def _fault(self, sentence: str) -> None:
        # areas share settings: each fault is told once, in the order of discovery
        self._faults[sentence] = None


def _set_it(name: str) -> str:
    file = f"{CREDENTIALS_FOLDER}/{name}"
    return f"set it, or under systemd write {file}" if SETTINGS[name].secret else "set it"
