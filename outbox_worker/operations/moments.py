"""Moments as people read them: one form, in UTC as in logs and mails. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: datetime) -> str:
    """``2026-11-22 14:29:39 UTC``.

    Args:
        at: Aware, in any zone.
    """
    return f"{stamp(at)} UTC"


def stamp(at: datetime) -> str:
    """The same without the zone, under a heading that names it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
