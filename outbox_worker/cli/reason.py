"""Why something was done, in a person's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def reason_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--reason``, which it cannot do without."""
    return click.option(
        "--reason",
        metavar="TEXT",
        required=True,
        callback=_said,
        help="Why, for those who look at it later.",
    )(command)


def _said(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("It is empty: say why in a few words.")
    return value.strip()
