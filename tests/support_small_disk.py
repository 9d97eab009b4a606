"""A Postgres whose disk is a few megabytes of memory in a mount namespace, to be filled up.

The module is also the process that lives in the namespace: it takes commands, one a line, and
answers each with one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support_own_server import own_server

_SIZE = "140m"
_CHUNK = bytes(4096)
#: As root the mount needs nothing else; others become root in a user namespace of their own.
_NAMESPACE = ("--mount",) if os.geteuid() == 0 else ("--user", "--map-root-user", "--mount")


class SmallDisk:
    """A server in the namespace, by way of the process that started it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    def fill(self) -> None:
        """Leave no byte free."""
        self._ask("fill")

    def free(self) -> None:
        """Take back what `fill` took."""
        self._ask("free")

    def restart(self) -> None:
        """Start the server again if it has ended."""
        self._ask("restart")

    def _ask(self, command: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(command, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "done\n", f"{command} failed"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Such a server for the length of a block; the test is skipped where none can be made."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("this machine has no unshare to make a small disk with")
    command = [unshare, *_NAMESPACE, "--", sys.executable, "-m", "tests.support_small_disk"]
    log = folder / "small-disk.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*command, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                process.wait(20)
                pytest.skip(f"no small disk can be mounted here: {log.read_text()[-300:]}")
            yield SmallDisk(process, url)
        finally:
            process.stdin.close()  # its end
            process.wait(30)


def _serve(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={_SIZE}", "none", str(disk)]
    subprocess.run(["mount", *options], check=True)  # noqa: S607 - whichever mount there is
    ballast = disk / "ballast"
    # a server that cannot go on ends, rather than try again while the disk is full
    with own_server({"restart_after_crash": "off"}, parent=disk) as server:
        _say(server.url)
        for command in sys.stdin:
            match command.strip():
                case "fill":
                    _fill(ballast)
                case "free":
                    ballast.unlink()
                case "restart":
                    asyncio.run(server.revive())
            _say("done")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(_CHUNK):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
