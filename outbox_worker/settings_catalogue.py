"""Every environment variable that this project reads: its default and what it means.

The defaults are the ones that `settings` uses; the example file and the reference page are written
from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Where the units of ``deploy/systemd`` read secrets from, each a file with the setting's name.
CREDENTIALS_FOLDER = "/etc/booking-outbox/credentials"
#: Where the settings are kept that a sentence has just named, as hints say it.
KEPT_IN = f"(each a file of its name in {CREDENTIALS_FOLDER} under systemd, else a variable)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One environment variable.

    Args:
        name: The variable.
        default: Text that stands for it when unset; empty: there is none.
        about: One sentence.
        secret: Whether ``NAME_FILE`` and a systemd credential of that name are read too, and the
            value never shown.
    """

    name: str
    about: str
    default: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Settings that belong together, under one heading."""

    title: str
    settings: tuple[Setting, ...]


GROUPS = (
    Group(
        title="Postgres",
        settings=(
            Setting(
                name="DATABASE_URL",
                secret=True,
                about="Where bookings and outbox live; required.",
            ),
            Setting(
                name="DATABASE_LISTEN_URL",
                secret=True,
                about="Direct connection for LISTEN and migrations, when DATABASE_URL is a pooler.",
            ),
        ),
    ),
    Group(
        title="Stripe",
        settings=(
            Setting(
                name="STRIPE_WEBHOOK_SECRET",
                secret=True,
                about="The endpoint's whsec_…; required by the receiver. To rotate: new,old.",
            ),
            Setting(
                name="STRIPE_LIVEMODE",
                about="true: only live events are applied, false: only test events; unset: both.",
            ),
            Setting(
                name="STRIPE_ACCOUNT",
                about="Only events of this account (acct_…) are applied; unset: every account.",
            ),
            Setting(
                name="STRIPE_SECRET_KEY",
                secret=True,
                about="Reserved: not used by this version. API key for comparing payments.",
            ),
            Setting(
                name="BOOKING_CURRENCY",
                default="EUR",
                about="Currency of every booking's total, three letters.",
            ),
        ),
    ),
    Group(
        title="Property management system",
        settings=(
            Setting(
                name="GUESTLY_SYNC_ENABLED",
                default="false",
                about=(
                    "false: bookings are held, never dropped. A site may read this name too: "
                    "share no file with it."
                ),
            ),
            Setting(
                name="GUESTLY_TEST_MODE",
                default="true",
                about="true: nothing is sent, bookings are shown as TEST.",
            ),
            Setting(
                name="GUESTLY_API_KEY",
                secret=True,
                about="Required when sync is enabled and test mode is off.",
            ),
            Setting(
                name="GUESTLY_API_URL",
                about="Base address of the API; required as the key is. http only to this host.",
            ),
            Setting(
                name="PMS",
                default="guestly",
                about="Which system: guestly or guesty.",
            ),
            Setting(
                name="GUESTY_CLIENT_ID",
                secret=True,
                about="With PMS=guesty, as GUESTLY_API_KEY is with guestly.",
            ),
            Setting(
                name="GUESTY_CLIENT_SECRET",
                secret=True,
                about="Belongs to that id.",
            ),
            Setting(
                name="GUESTY_API_URL",
                default="https://open-api.guesty.com",
                about="Address of Guesty's API, without a version.",
            ),
            Setting(
                name="PMS_TIMEOUT_SECONDS",
                default="15",
                about="Longest wait for one call.",
            ),
            Setting(
                name="PMS_QUIET_SECONDS",
                default="30",
                about="No write is repeated earlier than this after one of unknown outcome;"
                " unset with PMS=guesty: 90.",
            ),
            Setting(
                name="PMS_LOOKUP_BEFORE_CREATE",
                default="true",
                about="Look a booking up before creating it: a restored backup cannot double it.",
            ),
            Setting(
                name="PMS_CIRCUIT_FAILURES",
                default="5",
                about="Calls in a row without an answer that stop all calls but a probe.",
            ),
            Setting(
                name="PMS_RATE_PER_SECOND",
                default="15",
                about="Most calls of all workers together in any second; 0: no limit.",
            ),
            Setting(
                name="PMS_RATE_PER_MINUTE",
                default="120",
                about="In any minute; also the pace of a long `outbox requeue`. 0: no limit.",
            ),
            Setting(
                name="PMS_RATE_PER_HOUR",
                default="5000",
                about="In any hour; 0: no limit.",
            ),
        ),
    ),
    Group(
        title="Attempts",
        settings=(
            Setting(
                name="SYNC_MAX_ATTEMPTS",
                default="3",
                about="Attempts of one round; then the booking is failed and an alert is sent.",
            ),
            Setting(
                name="SYNC_RETRY_BASE_SECONDS",
                default="1",
                about="Wait before the second attempt, doubled before each further one.",
            ),
            Setting(
                name="SYNC_RETRY_CAP_SECONDS",
                default="300",
                about="Longest wait between two attempts of one round.",
            ),
            Setting(
                name="SYNC_REDRIVE_MINUTES",
                default="60",
                about="Between new rounds of a failed booking, after the first two (5 and 15).",
            ),
            Setting(
                name="SYNC_REDRIVE_HOURS",
                default="72",
                about="No new round begins later than this after the first failure; 0: never.",
            ),
        ),
    ),
    Group(
        title="Worker",
        settings=(
            Setting(
                name="WORKER_CONCURRENCY",
                default="10",
                about="Calls under way at once, per worker.",
            ),
            Setting(
                name="WORKER_LEASE_SECONDS",
                default="30",
                about="How long a claimed row is the worker's; at least twice PMS_TIMEOUT_SECONDS.",
            ),
            Setting(
                name="WORKER_POLL_SECONDS",
                default="1",
                about="Longest time between two looks into the outbox.",
            ),
            Setting(
                name="WORKER_SHUTDOWN_SECONDS",
                default="20",
                about="How long a stopping worker finishes what is under way.",
            ),
            Setting(
                name="METRICS_ADDRESS",
                default="127.0.0.1:9464",
                about="The worker's /healthz, /readyz and /metrics, without a login; empty: off.",
            ),
            Setting(
                name="HEARTBEAT_URL",
                secret=True,
                about="Called (GET) every 30 s while the worker works: whoever watches it notices "
                "silence.",
            ),
        ),
    ),
    Group(
        title="Alerts",
        settings=(
            Setting(
                name="ADMIN_ALERT_EMAIL",
                about="Who is told when a person is needed, separated by commas.",
            ),
            Setting(
                name="EMAIL_FROM",
                about="Sender of alerts, a bare address; required when they can be mailed.",
            ),
            Setting(
                name="EMAIL_API_ENDPOINT",
                default="https://api.sendgrid.com/v3/mail/send",
                about="HTTP API that takes mail, in the form of SendGrid or of Resend.",
            ),
            Setting(name="EMAIL_API_KEY", secret=True, about="Key of that API."),
            Setting(
                name="SMTP_URL",
                secret=True,
                about="Used before the API: smtps://user:password@host:port, or smtp://…?starttls.",
            ),
            Setting(
                name="ALERT_CHAT_WEBHOOK_URL",
                secret=True,
                about="Chat for alerts: a webhook of Slack, Mattermost, or Discord (with /slack).",
            ),
        ),
    ),
    Group(
        title="Servers",
        settings=(
            Setting(
                name="RECEIVER_ADDRESS",
                default="127.0.0.1:8080",
                about="Where the webhook receiver listens, host:port or [IPv6]:port.",
            ),
            Setting(
                name="CONSOLE_ADDRESS",
                default="127.0.0.1:8787",
                about="Reserved: not used by this version. For the web console.",
            ),
        ),
    ),
    Group(
        title="Upkeep",
        settings=(
            Setting(
                name="RETENTION_DAYS",
                default="365",
                about="How long finished history is kept; `outbox prune` removes what is older.",
            ),
            Setting(
                name="BODY_RETENTION_DAYS",
                default="30",
                about="How long bodies of events are kept; `outbox prune` removes older ones.",
            ),
            Setting(
                name="LOG_FORMAT",
                default="auto",
                about="console, json (one object a line), or auto: console on a terminal.",
            ),
            Setting(
                name="LOG_LEVEL", default="info", about="debug, info, warning, error or critical."
            ),
            Setting(
                name="OUTBOX_ACTOR",
                about="Operator's name in the audit log; unset: the user of the operating system.",
            ),
        ),
    ),
)

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {setting.name: setting for group in GROUPS for setting in group.settings}
)


def known_names() -> frozenset[str]:
    """Every variable that may be set: all settings, and ``NAME_FILE`` of each secret."""
    files = {f"{setting.name}_FILE" for setting in SETTINGS.values() if setting.secret}
    return frozenset(SETTINGS) | files
