"""The reference page of the rules, written from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from tests.mutants.mutant import Mutant

_HEAD = """\
# Rules, and the tests that see them

Each rule can be taken out of the code by one small change. `make mutants` takes out one at a time,
runs the tests named here and fails unless one of them fails by an assertion; a rule whose absence
nobody notices ends it with exit code 1. This page is written from the catalogue in
`tests/mutants/`.
"""


def page(mutants: Sequence[Mutant]) -> str:
    """Text of ``docs/reference/rules.md``: the rules by file, each with its tests."""
    lines = [_HEAD]
    for file in dict.fromkeys(mutant.file for mutant in mutants):
        lines += [f"## `{file}`", "", "| rule | seen by |", "|---|---|"]
        for mutant in mutants:
            if mutant.file == file:
                tests = "<br>".join(f"`{name.replace('|', '')}`" for name in mutant.seen_by)
                lines.append(f"| {mutant.rule} | {tests} |")
        lines.append("")
    return "\n".join(lines)
