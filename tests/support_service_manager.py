"""A stand-in for systemd's commands, where there is none: it runs the delivered units as they are.

It knows what the quickstart types, reads program, environment and credentials from the unit files,
and waits for READY=1 as systemd does. It restarts nothing and confines nothing: tests/systemd does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from outbox_worker.env_file import read_env_file
from tests.support_documents import replaced

_PATIENCE_S = 60.0
_LOOK_S = 0.5


class Services:
    """The services of one folder: `paths.json`, units, and for each a log and a process id.

    Args:
        folder: `units` below it is where unit files are copied to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths: dict[str, str] = json.loads((folder / "paths.json").read_text(encoding="utf-8"))
        self._paths = paths

    def start(self, name: str) -> None:
        """Start a service from its unit file, and wait until it is ready."""
        if name.endswith(".socket") or self.pid(name):
            return
        lines = self._lines(name)
        environ = {key: os.environ[key] for key in ("PATH", "HOME")}
        for key, value in lines:
            if key == "EnvironmentFile":
                environ.update(read_env_file(Path(value.removeprefix("-"))))
        credentials = [value for key, value in lines if key == "LoadCredential"]
        environ["CREDENTIALS_DIRECTORY"] = str(Path(credentials[0].partition(":")[2]).parent)
        if name == "webhook-receiver":
            [address] = [
                value for key, value in self._lines(f"{name}.socket") if key == "ListenStream"
            ]
            environ["RECEIVER_ADDRESS"] = address
        [command] = [value for key, value in lines if key == "ExecStart"]
        channel = f"outbox-test-{os.getpid()}-{name}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(f"\0{channel}")
            notified.settimeout(_LOOK_S)
            environ["NOTIFY_SOCKET"] = f"@{channel}"
            self.run(name, command.split(), environ)
            self._wait_until_ready(name, notified)

    def run(self, name: str, command: list[str], environ: Mapping[str, str]) -> None:
        """Start any program under a name."""
        with self._file(name, "log").open("ab") as log:
            started = subprocess.Popen(
                command, env=dict(environ), stdout=log, stderr=log, start_new_session=True
            )
        self._file(name, "pid").write_text(str(started.pid), encoding="ascii")

    def stop(self, name: str) -> None:
        """Ask a service to stop and wait until it has."""
        deadline = time.monotonic() + _PATIENCE_S
        while (pid := self.pid(name)) is not None:
            os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            for _ in range(50):
                if self.pid(name) is None:
                    break
                time.sleep(0.05)

    def stop_all(self) -> None:
        """Stop whatever was started here."""
        for file in self._folder.glob("*.pid"):
            self.stop(file.stem)

    def pid(self, name: str) -> int | None:
        """Of a service that runs."""
        try:
            pid = int(self._file(name, "pid").read_text(encoding="ascii"))
            # nobody may be there to take leave of it: then it is a zombie, and over
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except FileNotFoundError:
            return None
        return None if state[0] == "Z" else pid

    def log(self, name: str) -> str:
        """Everything that a service has printed."""
        return self._file(name, "log").read_text(encoding="utf-8")

    def _wait_until_ready(self, name: str, notified: socket.socket) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in notified.recv(4096):
                    return
            if self.pid(name) is None or time.monotonic() > deadline:
                sys.exit(f"{name} did not become ready:\n{self.log(name)}")

    def _file(self, name: str, kind: str) -> Path:
        return self._folder / f"{name}.{kind}"

    def _lines(self, name: str) -> list[tuple[str, str]]:
        unit = name if "." in name else f"{name}.service"
        text = (self._folder / "units" / unit).read_text(encoding="utf-8")
        pairs = (line.partition("=") for line in replaced(text, self._paths).splitlines())
        return [(key, value) for key, equals, value in pairs if equals]


def systemctl(services: Services, verb: str, *words: str) -> int:
    """What of systemctl a document may type."""
    names = [word.removesuffix(".service") for word in words if not word.startswith("-")]
    for name in names:
        if verb in {"restart", "stop"}:
            services.stop(name)
        if verb in {"restart", "start", "enable"}:
            services.start(name)
        runs = services.pid(name) is not None
        if verb == "is-active":
            say("active" if runs else "inactive")
        if verb == "status":
            say(f"     Active: {'active (running) since just now' if runs else 'inactive (dead)'}")
    known = {"restart", "stop", "start", "enable", "is-active", "status", "daemon-reload"}
    return 0 if verb in known else 2


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def main() -> int:
    program, *words = sys.argv[1:]
    services = Services(Path(os.environ["OUTBOX_TEST_SERVICES"]))
    match program:
        case "systemctl":
            return systemctl(services, *words)
        case "systemd-run":
            unit, *command = words
            services.run(unit.removeprefix("--unit="), command, os.environ)
        case "journalctl":
            for name in (word for word in words if not word.startswith("-")):
                say(services.log(name))
        case _:
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
