"""The throw-away server: what it needs, what it refuses, and that nothing of it stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from outbox_worker.demo.postgres import cluster, sweep
from outbox_worker.demo.postgres_binaries import (
    Binaries,
    PostgresStartError,
    embedded_binaries,
    find_binaries,
)

_STARTS_AND_WAITS = """
import sys, time
from pathlib import Path
from outbox_worker.demo.postgres import cluster
with cluster(parent=Path(sys.argv[1])) as running:
    print(running.pid, running.url, running.folder, flush=True)
    time.sleep(60)
"""


def test_it_is_usable_within_the_block_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with cluster(parent=tmp_path) as running:
        assert _one(running.url, "show server_version") == running.version
        assert _one(running.url, "show fsync") == "off"
    assert list(tmp_path.iterdir()) == []
    assert not _alive(running.pid)


def test_a_durable_server_syncs_to_disk(tmp_path: Path) -> None:
    with cluster(parent=tmp_path, durable=True) as running:
        assert _one(running.url, "show fsync") == "on"


def test_settings_reach_the_server(tmp_path: Path) -> None:
    with cluster(parent=tmp_path, settings={"autovacuum": "off"}) as running:
        assert _one(running.url, "show autovacuum") == "off"


def test_it_wants_its_password_and_listens_on_loopback_alone(tmp_path: Path) -> None:
    with cluster(parent=tmp_path) as running:
        assert _one(running.url, "show listen_addresses") == "127.0.0.1"
        assert _one(running.url, "show unix_socket_directories") == ""
        password = urlsplit(running.url).password or ""
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(running.url.replace(password, "wrong"))
        # A folder that others can read would show them the data whatever the password is.
        assert (running.folder / "data").stat().st_mode & 0o077 == 0


def test_the_folder_that_it_is_given_keeps_its_permissions(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with cluster(parent=private) as running:
        assert _one(running.url, "select 1") == 1
        assert private.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_user_namespaces_runs_it_as_another_user() -> None:
    with cluster(user_namespace=False) as running:
        assert _one(running.url, "select 1") == 1
        assert Path(f"/proc/{running.pid}").stat().st_uid != 0
    assert not running.folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_programs_that_the_other_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    package = embedded_binaries()[0].folder.parents[1]
    tmp_path.chmod(0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    private = Binaries(folder=tmp_path / package.name / "pginstall" / "bin", source="a home")
    with cluster(binaries=private, user_namespace=False) as running:
        assert _one(running.url, "select 1") == 1
        assert Path(f"/proc/{running.pid}").stat().st_uid != 0
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_it_ends_with_a_starter_that_is_killed_and_its_folder_is_swept(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_WAITS, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with starter:
        assert starter.stdout is not None
        pid, url, folder = starter.stdout.readline().split()
        assert _one(url, "select 1") == 1
        assert sweep(tmp_path) == [], "a folder in use was swept"
        starter.send_signal(signal.SIGKILL)
    _wait_until(lambda: not _alive(int(pid)), "the server outlives its starter")
    _wait_until(lambda: sweep(tmp_path) == [Path(folder)], "the folder is not swept")
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with cluster(parent=tmp_path) as one, cluster(parent=tmp_path) as other:
        assert one.url != other.url
        assert _one(one.url, "select 1") == _one(other.url, "select 1") == 1


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(PostgresStartError, match='"max_connections"'),
        cluster(parent=tmp_path, settings={"max_connections": "many"}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_parent_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(PostgresStartError, match="no temporary folder can be made in") as caught,
        cluster(parent=tmp_path / "missing"),
    ):
        pass
    assert "TMPDIR" in caught.value.hint


def test_without_any_server_programs_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(PostgresStartError, match="no Postgres server found") as caught:
        find_binaries(package="no_such_package", patterns=(), path=str(tmp_path))
    assert "make setup" in caught.value.hint


def test_the_embedded_package_comes_before_the_servers_of_the_machine() -> None:
    assert find_binaries() == embedded_binaries()[0]


def test_without_the_package_the_newest_server_of_the_machine_is_taken(tmp_path: Path) -> None:
    for version in ("9.6", "15", "14"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        for name in ("postgres", "initdb"):
            (folder / name).touch(mode=0o755)
    (tmp_path / "17" / "bin").mkdir(parents=True)
    found = find_binaries(package="no_such_package", patterns=[f"{tmp_path}/*/bin"])
    assert found.folder == tmp_path / "15" / "bin"


def _one(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
