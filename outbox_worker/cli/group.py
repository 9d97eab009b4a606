"""A command of commands: to whoever misspells one it says which was meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import click

#: More names than these are no answer to "which one?", and some of them would be a wrong one.
_MOST = 3
#: How alike two names are that may be mixed up: one letter of four, two that changed places.
_ALIKE = 0.7


class Group(click.Group):
    """A group that guesses what a misspelt command was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names.

        Raises:
            click.UsageError: None is called so; the message says which one was meant.
        """
        word = args[0]
        names = self.list_commands(ctx)
        # what looks like an option is refused by click, which knows them
        if word not in names and not word.startswith("-") and not ctx.resilient_parsing:
            *others, last = [f"'{name}'" for name in meant(word, names)] or [""]
            guess = f"{', '.join(others)} or {last}" if others else last
            also = f" Did you mean {guess}?" if guess else ""
            raise click.UsageError(f"No such command '{word}'.{also}", ctx)
        return super().resolve_command(ctx, args)


def meant(word: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names that a word was probably meant to be, the likeliest first; at most three."""
    typed = word.lower()
    begun = [name for name in names if typed and name.startswith(typed)]
    if begun:
        return tuple(begun) if len(begun) <= _MOST else ()
    return tuple(get_close_matches(typed, names, n=_MOST, cutoff=_ALIKE))
