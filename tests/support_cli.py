"""The console script ``outbox`` as a real process, with and without a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.pooler.route import direct_setting

PROGRAM = (sys.executable, "-m", "outbox_worker.cli")
PATIENCE_S = 20.0
WIDTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def data(self) -> Any:
        return self.json()["data"]


def settings(database_url: str, **more: str) -> dict[str, str]:
    """An environment in which sync is off and everything else has its default."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        **direct_setting(database_url),
        "OUTBOX_ACTOR": "anna",
        "COLUMNS": str(WIDTH),
        "TZ": "UTC",
        **more,
    }


def outbox(
    *arguments: str, environ: Mapping[str, str], stdin: str = "", within: float = PATIENCE_S
) -> Ended:
    """Run a command to its end, without a terminal."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        env=dict(environ),
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=within,
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


#: Runs in the new session: makes the terminal its own, so that Ctrl-C reaches it, then becomes the
#: command. (Forking here instead is refused by newer Pythons where threads are about.)
_BECOME = (
    "import fcntl, os, sys, termios;"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A command on a pseudo-terminal of 80 columns."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self._process = process
        self._master = master
        self._seen = b""

    @property
    def text(self) -> str:
        """What the screen has shown, without control sequences."""
        shown = self._seen.decode(errors="replace").replace("\r\n", "\n")
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def shows(self, text: str) -> None:
        """Wait until the screen has shown a text."""
        ends = time.monotonic() + PATIENCE_S
        while text not in self.text:
            alive = self._read(ends)
            assert alive or text in self.text, f"{text!r} never came:\n{self.text}"

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        ends = time.monotonic() + PATIENCE_S
        while self._read(ends):
            pass
        return self._process.wait(PATIENCE_S)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def _read(self, ends: float) -> bool:
        assert time.monotonic() < ends, f"it took too long:\n{self.text}"
        if not select.select([self._master], [], [], 0.5)[0]:
            return True
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # Linux's way to say that nobody holds the other side any more
            return False
        self._seen += chunk
        return bool(chunk)


@contextmanager
def terminal(
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    out: str | None = None,
    width: int = WIDTH,
) -> Iterator[Terminal]:
    """Run a command on a terminal for the length of a block; ``out``: a file for its answer."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, width))
    stdout = slave if out is None else os.open(out, os.O_WRONLY)
    process = subprocess.Popen(
        [sys.executable, "-c", _BECOME, *PROGRAM, *arguments],
        env=dict(environ),
        stdin=slave,
        stdout=stdout,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    if stdout != slave:
        os.close(stdout)
    screen = Terminal(process, master)
    try:
        yield screen
    finally:
        screen.close()


def too_wide(text: str) -> list[str]:
    """Lines of more than 80 columns."""
    return [line for line in text.splitlines() if len(line) > WIDTH]
