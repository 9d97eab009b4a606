"""What comes with the choice of a PMS: a word that is not known, too short a quiet period."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from tests.support_source import ROOT
from tests.support_worker import environment, worker

GUESTY = {
    "PMS": "guesty",
    "GUESTY_API_URL": "http://127.0.0.1:9",
    "GUESTY_CLIENT_ID": "client",
    "GUESTY_CLIENT_SECRET": "secret",
}


@pytest.mark.parametrize("module", ["outbox_worker.demo", "tests.chaos"])
def test_a_misspelt_pms_is_refused_with_the_words_that_are_known(module: str) -> None:
    command = [sys.executable, "-m", module, "--pms", "guesti"]

    ended = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 2
    assert "guesti" in ended.stderr
    assert "PmsName" not in ended.stderr
    assert all(word in ended.stderr.splitlines()[-1] for word in ("guestly", "guesty"))


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"PMS_QUIET_SECONDS": "60"}, True),
        ({"PMS_QUIET_SECONDS": "90"}, False),
        ({"PMS_QUIET_SECONDS": ""}, False),
        ({"PMS_QUIET_SECONDS": "60", "GUESTLY_TEST_MODE": "true"}, False),
        ({"PMS_QUIET_SECONDS": "5", "PMS": "guestly"}, False),
    ],
    ids=["too short", "long enough", "unset", "test mode", "guestly"],
)
async def test_a_worker_warns_at_its_start_of_a_quiet_period_too_short_for_guesty(
    conn: Connection,
    database_url: str,
    tmp_path: Path,
    changes: dict[str, str],
    *,
    warned: bool,
) -> None:
    del conn
    environ = environment(database_url, None, **{**GUESTY, **changes})
    with worker(tmp_path / "w.log", environ, "--drain") as process:
        assert await process.ended() == 0
    risk = (
        "PMS_QUIET_SECONDS is below 90: Guesty may not show a new reservation so early,"
        " and after a lost answer it could be made twice; raise it, or remove it"
    )
    said = [(line["level"], line["message"]) for line in process.events("sync.risky")]
    assert said == ([("warning", risk)] if warned else [])
