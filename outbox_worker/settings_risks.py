"""What settings allow and is risky all the same: told by `config show`, and by a worker's start."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from outbox_worker.settings_source import default_of
from outbox_worker.settings_types import AlertSettings, SyncSettings


def risks(sync: SyncSettings) -> Iterator[str]:
    """One sentence for each: what, why, and what to do.

    Args:
        sync: Without a fault.
    """
    advised = default_of("PMS_QUIET_SECONDS", {"PMS": sync.pms})
    if sync.pms == "guesty" and sync.quiet < timedelta(seconds=float(advised)):
        yield (
            f"PMS_QUIET_SECONDS is below {advised}: Guesty may not show a new reservation so early,"
            " and after a lost answer it could be made twice; raise it, or remove it"
        )


def mail_risks(alerts: AlertSettings) -> Iterator[str]:
    """The same of alerts by mail; told by `config show` alone, a worker may do without.

    Args:
        alerts: Without a fault in what mail is sent with.
    """
    if alerts.recipients and alerts.api_key is None and alerts.smtp_url is None:
        yield (
            "ADMIN_ALERT_EMAIL is set, and neither EMAIL_API_KEY nor SMTP_URL: no mail can be sent;"
            " set one of them, or remove ADMIN_ALERT_EMAIL"
        )
