"""A destination, as people type it, and until when it is paused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from outbox_worker.cli.layout import moment, zone

if TYPE_CHECKING:
    from outbox_worker.gate.store import Pause

_DESTINATIONS = ("guestly", "email", "chat", "inbox")


def destination_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument ``DEST``."""
    return click.argument(
        "destination", metavar="DEST", type=click.Choice(_DESTINATIONS, case_sensitive=False)
    )(command)


def until_words(pause: Pause) -> str:
    """When a pause is over, in local time."""
    if pause.until is None:
        return "until it is resumed"
    return f"until {moment(pause.until)} {zone()}"
