"""A destination, as people type it, and until when it is paused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from outbox_worker.operations.moments import moment

if TYPE_CHECKING:
    from outbox_worker.gate.store import Pause

_DESTINATIONS = ("guestly", "email", "chat", "inbox")


class _Destination(click.Choice):  # type: ignore[type-arg,unused-ignore] # generic since click 8.2
    """One of the destinations; without one, a single line names them."""

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What follows "Missing argument 'DEST'."; click's own spans several lines."""
        del param, ctx
        return f"Give one of {', '.join(_DESTINATIONS[:-1])} and {_DESTINATIONS[-1]}."


def destination_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument ``DEST``."""
    return click.argument(
        "destination", metavar="DEST", type=_Destination(_DESTINATIONS, case_sensitive=False)
    )(command)


def until_words(pause: Pause) -> str:
    """When a pause is over."""
    if pause.until is None:
        return "until it is resumed"
    return f"until {moment(pause.until)}"
