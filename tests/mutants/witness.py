"""A pytest plugin that writes down how each failing test failed: `-p tests.mutants.witness`."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

import outbox_worker

_LONGEST = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How one test failed.

    Args:
        test: Its id.
        asserted: Whether an assertion of a test said so; False: it crashed, or ran out of time.
        line: Line of the test's file at which it failed; 0: in none of its lines.
        reason: First line of what was said.
    """

    test: str
    asserted: bool
    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What one run of pytest saw.

    Args:
        package: Folder of the package that was tested.
        passed: How many tests passed.
        failures: The others.
    """

    package: str
    passed: int
    failures: tuple[Failure, ...]


def read(path: Path) -> Testimony:
    """What the run wrote to ``path``."""
    told = json.loads(path.read_text(encoding="utf-8"))
    failures = tuple(Failure(**failure) for failure in told["failures"])
    return Testimony(package=told["package"], passed=told["passed"], failures=failures)


class Witness:
    """Collects failures of a run and writes them at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._passed = 0
        self._failures: list[Failure] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.excinfo is not None:
            self._failures.append(_failure(item, call.when, call.excinfo))
        elif call.when == "call":
            self._passed += 1
        return report

    def pytest_sessionfinish(self) -> None:
        told = Testimony(
            package=str(Path(outbox_worker.__file__).parent),
            passed=self._passed,
            failures=tuple(self._failures),
        )
        self._path.write_text(json.dumps(asdict(told)), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--witness", type=Path, help="where to write how tests failed")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--witness")
    if path is not None:
        config.pluginmanager.register(Witness(path))


def _failure(
    item: pytest.Item, when: str | None, excinfo: pytest.ExceptionInfo[BaseException]
) -> Failure:
    own = [entry.lineno + 1 for entry in excinfo.traceback if Path(entry.path).name == _file(item)]
    said = str(excinfo.value).strip().splitlines() or [""]
    asserted = when == "call" and _is_assertion(excinfo)
    kind = "" if asserted else f"{when}: {excinfo.typename}: "
    return Failure(
        test=item.nodeid,
        asserted=asserted,
        line=own[-1] if own else 0,
        reason=f"{kind}{said[0]}"[:_LONGEST],
    )


def _is_assertion(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether a line of the tests said what is wrong: neither a crash nor a time-out."""
    if excinfo.errisinstance(pytest.fail.Exception):
        return str(excinfo.value).startswith("DID NOT RAISE")
    if isinstance(excinfo.value, ExceptionGroup):  # hypothesis, of several examples
        return excinfo.value.split(AssertionError)[1] is None
    innermost = Path(excinfo.traceback[-1].path).parts
    return excinfo.errisinstance(AssertionError) and "tests" in innermost


def _file(item: pytest.Item) -> str:
    return item.path.name
