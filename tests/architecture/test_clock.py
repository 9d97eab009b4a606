"""Leases, due times and circuits are the database's: a worker's own clock may be wrong."""

from __future__ import annotations

import ast
from pathlib import Path

import outbox_worker

ROOT = Path(outbox_worker.__file__).parent
ENGINE = ("outbox", "gate", "handlers", "worker")
#: They tell people and service managers since when; nothing is decided by it.
TELLING = frozenset({"worker/health.py", "worker/systemd.py"})
WALL_CLOCKS = frozenset({"time.time", "datetime.now", "datetime.utcnow", "date.today"})


def wall_clocks(text: str) -> list[str]:
    """The calls of a module that read the machine's idea of the date."""
    return [
        name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        for name in [ast.unparse(node.func)]
        if any(name == clock or name.endswith(f".{clock}") for clock in WALL_CLOCKS)
    ]


def test_the_engine_decides_nothing_by_the_clock_of_its_machine() -> None:
    read = {
        name: found
        for package in ENGINE
        for path in sorted((ROOT / package).rglob("*.py"))
        if (name := path.relative_to(ROOT).as_posix()) not in TELLING
        and (found := wall_clocks(path.read_text(encoding="utf-8")))
    }
    assert read == {}


def test_a_clock_that_is_read_is_seen() -> None:
    text = "import datetime, time\nnow = datetime.datetime.now(tz)\nthen = time.time()\n"
    assert wall_clocks(text) == ["datetime.datetime.now", "time.time"]
