"""The processes of a run: started, watched, restarted as a supervisor would, stopped for good."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from outbox_worker.demo.process import (
    ProcessError,
    child_environment,
    dying_with_parent,
    last_lines,
)
from tests.chaos.points import Trap, told
from tests.support_source import ROOT

_LOOK_EVERY_S = 0.04
_STOP_S = 30.0
#: A supervisor restarts what ends, but not for ever.
_MOST_ENDS = 5

WORKER = ("-m", "tests.chaos.worker_main")
RECEIVER = ("-m", "tests.chaos.receiver_main")
SIMULATOR = ("-m", "outbox_worker.simulator")


@dataclass(slots=True, kw_only=True)
class Member:
    """One process and its successors.

    Args:
        name: For people, and of its log file.
        command: Of the interpreter.
        settings: Its whole environment but the traps.
        next_traps: Those of the next start.
        patience: How long it stays stopped when it has stopped itself.
        longest_stop: A process that was stopped for longer is killed, never continued: its first
            byte could be later than the quiet period allows for.
    """

    name: str
    command: Sequence[str]
    settings: Mapping[str, str]
    folder: Path
    next_traps: Callable[[], tuple[Trap, ...]]
    patience: Callable[[], float]
    longest_stop: float
    counts: Counter[str] = field(default_factory=Counter)
    process: subprocess.Popen[bytes] | None = None
    frozen: bool = False
    _watch: asyncio.Task[None] | None = None
    _ends_in_a_row: int = 0

    @property
    def log(self) -> Path:
        """What all its processes have printed."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Of the running process; None between two of them."""
        process = self.process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Start it, and see to it that it runs until `stop`."""
        self._spawn()
        self._watch = asyncio.create_task(self._keep_running())

    def check(self) -> None:
        """Notice that it cannot be kept running.

        Raises:
            ProcessError: It ended by itself time and again; the message quotes its last lines.
        """
        if self._watch is not None and self._watch.done() and not self._watch.cancelled():
            self._watch.result()

    def kill(self) -> None:
        """SIGKILL; its successor is started by the watch."""
        if self.process is not None:
            self.process.kill()

    async def freeze(self, seconds: float) -> bool:
        """SIGSTOP, and SIGCONT after some time; False: it is not running, or is frozen already."""
        pid = self.pid
        if pid is None or self.frozen:
            return False
        self.frozen = True
        os.kill(pid, signal.SIGSTOP)
        await self._thaw(pid, since=time.monotonic(), seconds=seconds)
        return True

    def resume(self) -> None:
        """SIGCONT before its patience is over."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    async def stop(self) -> int | None:
        """SIGTERM, and its exit code; None: it had to be killed."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        process = self.process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(process.wait, _STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    async def end(self) -> None:
        """Make sure that nothing is left running."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _spawn(self) -> None:
        traps = told(
            self.next_traps(), journal=self.folder / "sprung.jsonl", calm=self.folder / "calm"
        )
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*dying_with_parent(signal.SIGKILL), sys.executable, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=child_environment({**self.settings, **traps}),
                start_new_session=True,
            )
        self.counts["starts"] += 1

    async def _keep_running(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            process = self.process
            if process is None:
                continue
            code = process.poll()
            if code is not None:
                self.frozen = False
                self.counts["killed" if code == -signal.SIGKILL else f"exit {code}"] += 1
                self._ends_in_a_row = 0 if code == -signal.SIGKILL else self._ends_in_a_row + 1
                if self._ends_in_a_row == _MOST_ENDS:
                    raise ProcessError(f"{self.name} ends by itself: {last_lines(self.log)}")
                self._spawn()
            elif not self.frozen and _has_stopped(process.pid):
                self.frozen = True
                await self._thaw(process.pid, since=time.monotonic(), seconds=self.patience())

    async def _thaw(self, pid: int, *, since: float, seconds: float) -> None:
        await asyncio.sleep(seconds)
        overran = time.monotonic() - since > self.longest_stop
        if self.pid == pid:
            os.kill(pid, signal.SIGKILL if overran else signal.SIGCONT)
            self.counts["stopped for too long, killed" if overran else "continued"] += 1
        self.frozen = False


def _has_stopped(pid: int) -> bool:
    """Whether a child has stopped since this was asked last."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is not None
    return False
