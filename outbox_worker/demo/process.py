"""Child processes: started to die with their parent, watched, and stopped in the reverse order."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from outbox_worker.errors import OutboxError

_READY_SECONDS = 20.0
_STOP_SECONDS = 10.0


class ProcessError(OutboxError):
    """A child process ended or never became ready; the message quotes its last lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One running child: what people call it, the process, and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Notice an early end.

        Raises:
            ProcessError: It has ended.
        """
        code = self.process.poll()
        if code is not None:
            raise ProcessError(f"{self.name} ended with status {code}: {last_lines(self.log)}")


def dying_with_parent(sign: signal.Signals) -> tuple[str, ...]:
    """The command to put in front of another, so that it gets ``sign`` when its parent is gone.

    "Parent" is the thread that starts it. Empty where the machine has no such command.
    """
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", sign.name.removeprefix("SIG"), "--") if setpriv else ()


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """A child's whole environment: nothing of whoever starts the parent gets through."""
    return {"PATH": os.defpath, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **settings}


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], *, settings: Mapping[str, str], folder: Path
) -> Iterator[Program]:
    """Run a command in ``folder`` with only these settings; stop it at the end of the block."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (a command of ours)
            [*dying_with_parent(signal.SIGTERM), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=child_environment(settings),
            start_new_session=True,  # Ctrl-C is for the parent, which stops them in order
        )
    try:
        yield Program(name=name, process=process, log=log)
    finally:
        stop(process, signal.SIGTERM, signal.SIGKILL)


def stop(process: subprocess.Popen[bytes], *signs: signal.Signals) -> None:
    """Send each signal in turn until the process is gone, ten seconds apart."""
    for sign in signs:
        if process.poll() is not None:
            return
        process.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)


def wait_until_answers(url: str, program: Program) -> None:
    """Wait for a 2xx answer of a child that is starting.

    Raises:
        ProcessError: It ended, or did not answer within 20 s.
    """

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url, timeout=2.0, trust_env=False).is_success
        return False

    wait_until(answers, program)


def wait_until(condition: Callable[[], bool], program: Program) -> None:
    """Wait for a condition that a child brings about.

    Raises:
        ProcessError: It ended, or the condition did not hold within 20 s.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while not condition():
        program.check()
        if time.monotonic() > deadline:
            raise ProcessError(f"{program.name} is not ready: {last_lines(program.log)}")
        time.sleep(0.05)


def free_port(preferred: int | None = None) -> int:
    """A loopback port that nobody listens on: the preferred one if it is free."""
    for port in filter(None, (preferred,)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


def last_lines(log: Path) -> str:
    """The end of an output file on one line, for an error message."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it said nothing"
