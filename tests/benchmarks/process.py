"""Our programs as users start them, and what the kernel says of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from outbox_worker.demo.process import dying_with_parent, free_port
from tests.support_stripe import SECRET

_PATIENCE_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One process.

    Args:
        pid: Of the program itself.
        log: What it printed.
        url: Where it answers; empty: nowhere.
        ready_s: From its start to its first answer of 200; 0 where it answers nowhere.
    """

    pid: int
    log: Path
    url: str
    ready_s: float

    @property
    def cpu_s(self) -> float:
        """Processor time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / _TICKS

    @property
    def resident_mib(self) -> float:
        """Resident memory now, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


def cpu_of_family(pid: int) -> float:
    """Processor time so far of a process and its children, those that have ended included."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if pid in {int(entry.name), int(fields[1])}:
                total += sum(map(int, fields[11:15] if int(entry.name) == pid else fields[11:13]))
    return total / _TICKS


def program(name: str) -> Path:
    """A console script of the project."""
    return Path(sys.executable).with_name(name)


@contextlib.contextmanager
def started(
    command: Sequence[str | Path], environ: Mapping[str, str], log: Path, *, healthz: str = ""
) -> Iterator[Running]:
    """A process for the length of a block, ended by SIGTERM.

    Args:
        command: What to run.
        environ: All that it is told.
        log: Where its output goes.
        healthz: A URL that answers 200 when it is up; empty: nothing is waited for.

    Raises:
        AssertionError: It ended, or was not up in time.
    """
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*dying_with_parent(signal.SIGTERM), *map(str, command)],
            env={"PATH": os.environ["PATH"], **environ},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        ready_s = _answers(process, healthz, began, log) if healthz else 0.0
        yield Running(
            pid=process.pid, log=log, url=healthz.removesuffix("/healthz"), ready_s=ready_s
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def receiver(
    database_url: str, log: Path, *, change: str = "", **settings: str
) -> Iterator[Running]:
    """``webhook-receiver`` on a free port.

    Args:
        database_url: Its database.
        log: Where its output goes.
        change: Statements that its process runs first, to measure what something costs.
        settings: Beside the necessary ones.
    """
    address = f"127.0.0.1:{free_port()}"
    environ = {
        "DATABASE_URL": database_url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "RECEIVER_ADDRESS": address,
        "LOG_FORMAT": "json",
        **settings,
    }
    command: list[str | Path] = [program("webhook-receiver")]
    if change:
        main = "import sys; from webhook_receiver.__main__ import main; sys.exit(main())"
        command = [sys.executable, "-c", f"{change}\n{main}"]
    with started(command, environ, log, healthz=f"http://{address}/healthz") as running:
        yield running


def _answers(process: subprocess.Popen[bytes], url: str, began: float, log: Path) -> float:
    while time.perf_counter() < began + _PATIENCE_S:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.HTTPError):
            # no client is kept: nothing here shall be open when the measurement begins
            if httpx.get(url, trust_env=False, timeout=1.0).is_success:
                return time.perf_counter() - began
        time.sleep(0.005)
    raise AssertionError(f"{url} did not answer: {log.read_text(encoding='utf-8')[-2000:]}")
