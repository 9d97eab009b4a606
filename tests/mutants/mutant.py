"""One rule of the engine as the change that takes it out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule, what takes it out of the code, and what has to notice.

    Args:
        rule: The rule in words; the mutant's name, unique.
        file: Path from the root of the repository, with slashes.
        old: Text in ``file``.
        new: What stands there instead; "" where the rule is a line of its own.
        seen_by: Ids of tests, as pytest prints them, of which at least one fails by an assertion.
        nth: Which one of how many occurrences of ``old`` is meant.
    """

    rule: str
    file: str
    old: str
    new: str
    seen_by: tuple[str, ...]
    nth: tuple[int, int] = (1, 1)


def at(file: str, *names: str) -> tuple[str, ...]:
    """Ids of tests of one file."""
    return tuple(f"{file}::{name}" for name in names)


class MutantDoesNotApplyError(Exception):
    """The code has changed, so that a mutant no longer says what to take out of it."""


def mutated(text: str, mutant: Mutant) -> str:
    """The text of the mutant's file without the rule.

    Raises:
        MutantDoesNotApplyError: ``old`` does not occur as often as it should.
    """
    nth, expected = mutant.nth
    parts = text.split(mutant.old)
    if len(parts) - 1 != expected:
        raise MutantDoesNotApplyError(
            f"{mutant.rule}: its text occurs {len(parts) - 1} times in {mutant.file},"
            f" not {expected}"
        )
    return mutant.old.join(parts[:nth]) + mutant.new + mutant.old.join(parts[nth:])


def mutate(root: Path, mutant: Mutant) -> None:
    """Take the rule out of the copy of the project at ``root``, whose files may be hard links.

    Raises:
        MutantDoesNotApplyError: See `mutated`; also where there is no such file.
    """
    path = root / mutant.file
    if not path.is_file():
        raise MutantDoesNotApplyError(f"{mutant.rule}: there is no {mutant.file}")
    changed = mutated(path.read_text(encoding="utf-8"), mutant)
    path.unlink()  # the file may be shared with other copies
    path.write_text(changed, encoding="utf-8")
    # compiled code is told apart by second and size, which a quick change may leave as they are
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
