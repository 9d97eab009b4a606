"""The built wheel brings the migrations along and finds them from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.migration.support_site import ROOT
from tests.migration.test_migrate_empty import MIGRATIONS

PROGRAM = """
import sys
from outbox_worker import migrate
print(migrate.__file__)
print(*migrate.apply(sys.argv[1], with_booking_trigger=True).applied)
print(*migrate.rollback(sys.argv[1]))
"""


def test_a_built_wheel_migrates_a_database_from_any_folder(
    tmp_path: Path, empty_database_url: str
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, empty_database_url],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )

    where, applied, undone = done.stdout.splitlines()
    assert Path(where).is_relative_to(installed)
    assert tuple(applied.split()) == MIGRATIONS
    assert tuple(undone.split()) == tuple(reversed(MIGRATIONS))
