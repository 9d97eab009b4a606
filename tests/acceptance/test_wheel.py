"""The built wheel, installed where nothing else of the project is, migrates a database."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, _ROOT)
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_migration_and_query(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    migrations = {
        f"outbox_worker/_migrations/{path.relative_to(_ROOT / 'migrations')}"
        for path in (_ROOT / "migrations").rglob("*.sql")
    }
    queries = {f"outbox_worker/sql/{path.name}" for path in _ROOT.glob("outbox_worker/sql/*.sql")}
    assert migrations | queries <= names
    assert migrations
    assert queries
    assert not {name for name in names if name.startswith(("tests/", "migrations/"))}


def test_the_installed_wheel_migrates_a_database_from_any_folder(
    wheel: Path, empty_database_url: str, tmp_path: Path
) -> None:
    installed = tmp_path / "installed"
    venv.create(installed, with_pip=False, symlinks=True)
    python = installed / "bin" / "python"
    _run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index",
        "--no-deps", "--disable-pip-version-check", wheel,
    )  # fmt: skip
    # The dependencies come from this environment: as a path of .pth its own .pth files are not
    # read, so the project's source folder does not come along.
    packages = next(installed.glob("lib/python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = _run(python, "-c", "import outbox_worker; print(outbox_worker.__file__)", cwd=elsewhere)
    assert Path(where.strip()).is_relative_to(installed)

    _run(
        installed / "bin" / "outbox",
        "migrate",
        cwd=elsewhere,
        environment={"DATABASE_URL": empty_database_url},
    )

    with psycopg.connect(empty_database_url) as connection:
        found = connection.execute("select to_regclass('outbox.delivery') is not null").fetchone()
    assert found == (True,)


def _run(
    *command: str | Path, cwd: Path = _ROOT, environment: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={"PATH": os.defpath, **(environment or {})},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
