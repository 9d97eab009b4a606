"""The demo as people start it: real processes, an exit code that can be trusted, nothing left."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
#: The demo itself takes about 15 seconds; beside other tests it may take more.
_PATIENCE_SECONDS = 240

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("pms", ["guestly", "guesty"])
def test_it_ends_well_with_every_count_as_expected_and_leaves_nothing_behind(
    tmp_path: Path, pms: str
) -> None:
    with _demo(tmp_path, "--pms", pms) as demo:
        output, _ = demo.communicate(timeout=_PATIENCE_SECONDS)
    assert demo.returncode == 0, output
    for row in (
        r"payments +│ +33 │ +33 │ ✓",
        r"confirmed +│ +33 │ +33 │ ✓",
        r"retried, then synced +│ +4 │ +4 │ ✓",
        r"failed, alert shown +│ +2 │ +2 │ ✓",
        r"duplicates absorbed +│ +10 │ +10 │ ✓",
        r"webhook → reservation, p95 +│ +│ +\d+\.\d\d s",
    ):
        assert re.search(row, output), row
    assert re.findall(r"synced: one reservation each +│ +(\d+) │ +(\d+) │ ✓", output) == [
        ("31", "31"),
        ("33", "33"),
    ]
    assert "$ outbox requeue" in output
    assert f"Every paid booking is at {pms.capitalize()} exactly once." in output
    # The worker's log and the mails are part of the output: none of them may tell who travels.
    for guest_data in ("Łukasz", "Müller", "Nowak", "guest0", "@example.com", "1202555"):
        assert guest_data not in output
    _nothing_is_left(tmp_path)


def test_a_reservation_missing_from_the_effect_log_makes_it_fail(tmp_path: Path) -> None:
    with _demo(tmp_path, "--hide-reservation", "7") as demo:
        output, _ = demo.communicate(timeout=_PATIENCE_SECONDS)
    assert demo.returncode == 1, output
    assert re.search(r"synced: one reservation each +│ +31 │ +30 │ ✗ WRONG", output), output
    _nothing_is_left(tmp_path)


def test_kept_running_it_takes_the_payment_that_it_prints_and_stops_at_ctrl_c(
    tmp_path: Path,
) -> None:
    if shutil.which("curl") is None or shutil.which("openssl") is None:
        pytest.skip("curl and openssl are what it prints commands for")
    with _demo(tmp_path, "--keep-running") as demo:
        lines = _lines_until(demo, lambda line: line.lstrip().startswith("curl "))
        script = "\n".join(lines[next(n for n, x in enumerate(lines) if "body=" in x) :])
        answer = subprocess.run(
            ["/bin/bash", "-c", script], capture_output=True, text=True, check=False
        )
        assert re.match(r"HTTP/1\.1 200", answer.stdout), answer
        _lines_until(demo, lambda line: line.startswith("  make run ARGS="))
        _lines_until(demo, lambda line: "✓ Guestly sync successful for booking" in line)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=30)
    assert demo.returncode == 0
    _nothing_is_left(tmp_path)


def test_sigterm_ends_it_and_everything_that_it_started(tmp_path: Path) -> None:
    with _demo(tmp_path, "--pms", "guesty", "--keep-running") as demo:
        _lines_until(demo, lambda line: line.startswith("  make run PMS=guesty ARGS="))
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=30)
    assert demo.returncode == 143
    _nothing_is_left(tmp_path)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="children cannot be told without it")
def test_killed_outright_it_leaves_no_process(tmp_path: Path) -> None:
    with _demo(tmp_path, "--keep-running") as demo:
        _lines_until(demo, lambda line: line.lstrip().startswith("curl "))
        assert _processes_in(tmp_path)
        demo.kill()
    _wait_until(lambda: not _processes_in(tmp_path), "a process outlives the demo")


@contextlib.contextmanager
def _demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    demo = subprocess.Popen(
        [sys.executable, "-m", "outbox_worker.demo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=_ROOT,
        env={
            "PATH": os.environ["PATH"],
            "TMPDIR": str(folder),
            "PYTHONUTF8": "1",
            "COLUMNS": "100",
        },
    )
    with demo:
        try:
            yield demo
        finally:
            if demo.poll() is None:
                demo.kill()


def _lines_until(demo: subprocess.Popen[str], condition: Callable[[str], bool]) -> list[str]:
    """Read its output up to the first line that fits; pytest's time limit ends a wait in vain."""
    assert demo.stdout is not None
    lines = []
    for raw in demo.stdout:
        lines.append(raw.rstrip("\n"))
        if condition(raw):
            return lines
    raise AssertionError("it ended early:\n" + "\n".join(lines))


def _nothing_is_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert _processes_in(folder) == []


def _processes_in(folder: Path) -> list[str]:
    """Command lines of all processes whose working folder is, or was, below ``folder``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str((process / "cwd").readlink()).startswith(str(folder)):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
