"""The catalogue of mutants fits the code; `make mutants` runs it."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, MutantDoesNotApplyError, mutated
from tests.mutants.page import page
from tests.support_source import ROOT


def test_every_rule_has_a_name_of_its_own() -> None:
    names = Counter(mutant.rule for mutant in MUTANTS)

    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_every_mutant_still_applies_and_changes_the_code(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")

    changed = mutated(text, mutant)

    assert changed != text
    if mutant.file.endswith(".py"):
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))


def test_every_mutant_names_tests_that_exist() -> None:
    missing = [
        (mutant.rule, test)
        for mutant in MUTANTS
        for test in mutant.seen_by
        for file, _, name in [test.partition("::")]
        for function in [name.partition("[")[0].rpartition("::")[2]]
        if f"def {function}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]

    assert missing == []
    assert all(mutant.seen_by for mutant in MUTANTS)


@pytest.mark.parametrize(("text", "nth"), [("b", (1, 1)), ("aa", (1, 1)), ("a", (2, 2))])
def test_a_mutant_whose_text_has_gone_or_has_come_twice_says_so(
    text: str, nth: tuple[int, int]
) -> None:
    mutant = Mutant(rule="r", file="f", old="a", new="", nth=nth, seen_by=("t",))

    with pytest.raises(MutantDoesNotApplyError, match="occurs"):
        mutated(text, mutant)


def test_the_occurrence_that_is_meant_is_the_one_that_is_changed() -> None:
    mutant = Mutant(rule="r", file="f", old="a", new="-", nth=(2, 3), seen_by=("t",))

    assert mutated("a1a2a3", mutant) == "a1-2a3"


def test_the_page_of_rules_is_that_of_the_catalogue() -> None:
    """Write it anew: python -m tests.mutants --page > docs/reference/rules.md."""
    written = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")

    assert written == page(MUTANTS)
