"""One seed of the chaos runs, and the one situation that only the PMS can make good.

`make chaos` plays many seeds, and fails if a rare path was never taken.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support_source import ROOT

#: Each takes less than half a minute; beside other tests it may take more.
_PATIENCE_S = 150

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize(("pms", "bookings", "seconds"), [("guestly", 70, 11), ("guesty", 60, 9)])
def test_whatever_breaks_every_booking_becomes_one_reservation(
    tmp_path: Path, pms: str, bookings: int, seconds: int
) -> None:
    size = ("--seed", "7", "--bookings", str(bookings), "--seconds", str(seconds))
    output, figures = _chaos(tmp_path, "--pms", pms, *size)

    assert (figures["failed"], figures["never"]) == ([], []), output
    assert figures["bookings"] == bookings
    assert figures["violations"] == {}
    assert figures["paths"]["effects"] >= 40


@pytest.mark.parametrize("pms", ["guestly", "guesty"])
def test_a_worker_frozen_before_its_first_byte_doubles_only_without_key_or_calendar(
    tmp_path: Path, pms: str
) -> None:
    output, figures = _chaos(tmp_path, "--pms", pms, "--frozen")

    guarded, without = figures["frozen"]
    assert (guarded["created"], guarded["repeated"], guarded["doubled"]) == (3, 3, []), output
    assert (without["created"], without["repeated"], len(without["doubled"])) == (6, 0, 3), output


def _chaos(folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """What a run printed, and its figures."""
    file = folder / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *arguments, "--json", str(file)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return output, figures
