"""What settings allow and is risky all the same: told at a worker's start and by `config show`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from outbox_worker.settings_source import default_of
from outbox_worker.settings_types import SyncSettings


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
