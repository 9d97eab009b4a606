"""A booted systemd with the delivered units in it, as tests/systemd/run.sh provides it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support_source import ROOT

WORKER = "outbox-worker.service"
RECEIVER = "webhook-receiver.service"
SOCKET = "webhook-receiver.socket"
#: What run.sh says: PID of the container's init, and the folder that it shares with it.
LEADER = os.environ.get("OUTBOX_TEST_SYSTEMD", "")
FOLDER = Path(os.environ.get("OUTBOX_TEST_SYSTEMD_FOLDER", "/nowhere"))

needs_systemd = [
    pytest.mark.skipif(not LEADER, reason="needs a systemd that it may have: make test-systemd"),
    pytest.mark.timeout(150),
]


class Machine:
    """The container: its service manager, and the files that an operator would write."""

    def __init__(self) -> None:
        self.units = FOLDER / "units"
        self.configuration = FOLDER / "etc"
        self._cursor = ""

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        nsenter = shutil.which("nsenter")
        assert nsenter is not None
        done = subprocess.run(
            [nsenter, "--target", LEADER, "--all", "--", *command],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        if check and done.returncode != 0:
            log = (nsenter, "--target", LEADER, "--all", "--", "journalctl", "--no-pager", "-n60")
            told = subprocess.run(log, capture_output=True, text=True, timeout=100, check=False)
            raise AssertionError(f"{command}: {done.stderr}\n{told.stdout}")
        return done

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", "--no-pager", *arguments, check=check)

    def shown(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit).stdout.strip()

    def journal(self, unit: str) -> str:
        """What a unit and systemd about it have said since the machine was cleared."""
        self.run("journalctl", "--sync")
        told = ("--no-pager", "--output=cat", f"--after-cursor={self._cursor}", f"--unit={unit}")
        return self.run("journalctl", *told).stdout

    def configure(self, credentials: Mapping[str, str], settings: Mapping[str, str]) -> None:
        """Write the files that the units read."""
        folder = self.configuration / "credentials"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        for name, value in credentials.items():
            file = folder / name
            file.touch(mode=0o600)
            file.write_text(f"{value}\n", encoding="utf-8")
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.configuration / "settings.env").write_text("".join(lines), encoding="utf-8")

    def drop_in(self, unit: str, **settings: str) -> None:
        """Change a unit's service section, as `systemctl edit` does."""
        folder = self.units / f"{unit}.d"
        folder.mkdir(exist_ok=True)
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (folder / "test.conf").write_text("[Service]\n" + "".join(lines), encoding="utf-8")
        self.systemctl("daemon-reload")

    def clear(self) -> None:
        """Stop everything of ours, forget it, and put the units there as they are delivered."""
        self.systemctl("stop", SOCKET, RECEIVER, WORKER, "outbox-alert@*.service", check=False)
        for entry in self.units.iterdir():
            if entry.suffix == ".d":
                shutil.rmtree(entry)
        for unit in (ROOT / "deploy" / "systemd").iterdir():
            if unit.suffix in {".service", ".socket"}:
                shutil.copy(unit, self.units / unit.name)
        self.systemctl("daemon-reload")
        self.systemctl("reset-failed")
        self.run("journalctl", "--sync")
        last = self.run("journalctl", "--no-pager", "--lines=1", "--show-cursor").stdout
        self._cursor = last.rpartition("-- cursor: ")[2].strip()


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """The machine, clear before and after."""
    found = Machine()
    found.clear()
    try:
        yield found
    finally:
        found.clear()


class Chat:
    """A chat's webhook: whatever is posted to it is kept."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.url = f"http://{address[0]}:{address[1]}/hook"
        self.posts: list[bytes] = []


@contextlib.contextmanager
def chat() -> Iterator[Chat]:
    """A chat's webhook for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.posts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Chat(("127.0.0.1", server.server_port))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()
