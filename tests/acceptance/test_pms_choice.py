"""A word for ``PMS`` that ``make demo`` and ``make chaos`` do not know."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support_source import ROOT


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
