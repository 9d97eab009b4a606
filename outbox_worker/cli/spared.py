"""Asking the PMS for a person, and saying so where that has to wait for its turn."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.spared_pms import SparedPms
    from outbox_worker.pms.port import Pms
    from outbox_worker.settings import SyncSettings


def spared(pms: Pms, conn: Connection, sync: SyncSettings) -> SparedPms:
    """The PMS, asked within the limit that its workers keep, too.

    Args:
        pms: Open.
        conn: In autocommit mode.
        sync: The limits.
    """
    from outbox_worker.operations.spared_pms import SparedPms
    from outbox_worker.wiring import rate_windows

    return SparedPms(pms, conn, rate_windows(sync), tell=_tell)


def _tell(wait: timedelta) -> None:
    seconds = ceil(wait.total_seconds())
    click.echo(f"All calls that PMS_RATE_* allow are used up: waiting {seconds} s.", err=True)
