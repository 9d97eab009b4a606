"""Every statement of the engine is measured, or it is said why not."""

from __future__ import annotations

from outbox_worker.sql import catalogue
from tests.plans.cases import ENGINE, ENGINE_FILES, EXEMPT
from tests.plans.cases_read import PAYMENTS, PEOPLE


def test_every_statement_of_the_engine_has_a_plan_test_or_a_reason() -> None:
    measured = {case.query for case in ENGINE}
    left_out = [
        f"{entry.file}: {entry.name}"
        for entry in catalogue().values()
        if entry.file in ENGINE_FILES and entry.name not in measured | set(EXEMPT)
    ]

    assert left_out == [], "add a line to ENGINE in tests/plans/cases.py"


def test_no_reason_is_given_for_what_is_measured_or_gone() -> None:
    measured = {case.query for case in ENGINE}

    assert set(EXEMPT) - set(catalogue()) | set(EXEMPT) & measured == set()


def test_every_statement_that_is_measured_exists() -> None:
    named = {case.query for case in (*ENGINE, *PAYMENTS, *PEOPLE)}

    assert named - set(catalogue()) == set()


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in (*ENGINE, *PAYMENTS, *PEOPLE)]

    assert len(names) == len(set(names))
