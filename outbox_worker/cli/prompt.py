"""Asking a person, on the terminal and only there."""

from __future__ import annotations

import sys

import click

from outbox_worker.cli.reply import printable


class DeclinedError(click.ClickException):
    """The person said no, or nothing."""


class NobodyToAskError(click.UsageError):
    """A question without a terminal to ask it on; ``hint`` names the option that answers it."""

    def __init__(self, flag: str) -> None:
        super().__init__("This needs a yes, and there is no terminal to ask on.")
        self.hint = f"Repeat it with {flag}."


def require_consent(preview: str, *, question: str, assume_yes: bool, flag: str = "--yes") -> None:
    """Show what is about to happen and ask whether to go on.

    Args:
        preview: Lines for stderr.
        question: Ends the prompt, before ``[y/N]``.
        assume_yes: The person has already answered, with ``flag``.
        flag: The option that answers in advance.

    Raises:
        NobodyToAskError: There is no terminal.
        DeclinedError: The answer was not yes.
    """
    if assume_yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NobodyToAskError(flag)
    for line in preview.splitlines():
        click.echo(printable(line), err=True)
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    # not click.confirm(): it cannot tell Ctrl-C from the end of input
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise DeclinedError("declined, nothing was changed.")
