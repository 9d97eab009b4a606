"""A document's blocks, and a shell that they are typed into to the letter."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support_source import ROOT

DOCS = ROOT / "docs"
QUICKSTART = DOCS / "guestly-sync-quickstart.md"
GUIDE = DOCS / "guestly-sync.md"

_FENCE = re.compile(
    r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$(?P<then>\n+```text\n(?P<answer>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_END = "the-block-has-ended"
_FAILED = "the-command-failed:"
#: Beyond what any command of a document takes on a busy machine.
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Args:
        language: First word of the fence: ``sh``, ``sql``, ``python``, ``text``, …
        words: The others, which no reader sees: what a test knows the block by, or leaves out.
        text: What is to be typed.
        answer: Lines that the answer has in this order; an ellipsis stands for anything.
        line: Where the fence is.
        path: The document.
    """

    language: str
    words: frozenset[str]
    text: str
    answer: tuple[str, ...]
    line: int
    path: Path

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(path: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a document in their order; of some languages alone if any are named."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split()
        block = Block(
            language=language,
            words=frozenset(words),
            text=match["text"],
            answer=tuple((match["answer"] or "").splitlines()),
            line=text.count("\n", 0, match.start()) + 1,
            path=path,
        )
        if not languages or language in languages:
            found.append(block)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a block printed, both streams, and which of its commands failed."""

    text: str
    failed: tuple[str, ...]


class Shell:
    """One bash that blocks are typed into, one after the other.

    Args:
        command: How it is started.
        environ: Its environment.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            bufsize=0,
        )
        self.run(f"set -E; trap 'echo \"{_FAILED} $BASH_COMMAND\"' ERR")

    def run(self, text: str) -> Answer:
        """Type a block and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text.rstrip()}\nprintf '\\n%s\\n' {_END}\n".encode())
        lines = self._until_end(text).splitlines()
        failed = [line.removeprefix(_FAILED).strip() for line in lines if line.startswith(_FAILED)]
        kept = [line for line in lines if not line.startswith(_FAILED)]
        return Answer(text="\n".join(kept), failed=tuple(failed))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _until_end(self, text: str) -> str:
        assert self._process.stdout is not None
        deadline, printed = time.monotonic() + _PATIENCE_S, b""
        end = f"\n{_END}\n".encode()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            while not printed.endswith(end):
                left = deadline - time.monotonic()
                assert left > 0, f"no end of:\n{text}\nit printed:\n{printed.decode()}"
                if waiting.select(left):
                    more = os.read(self._process.stdout.fileno(), 65536)
                    assert more, f"the shell ended at:\n{text}\nit printed:\n{printed.decode()}"
                    printed += more
        return printed.removesuffix(end).decode()


@contextlib.contextmanager
def shell(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Shell]:
    """A shell for the length of a block."""
    opened = Shell(command, environ)
    try:
        yield opened
    finally:
        opened.close()


def replaced(text: str, values: Mapping[str, str]) -> str:
    """A text with the reader's own values in it."""
    for stands, value in values.items():
        text = text.replace(stands, value)
    return text


def check_answer(block: Block, answer: Answer, values: Mapping[str, str]) -> None:
    """Compare what a block printed with what the document says of it."""
    said = f"{block} printed:\n{answer.text}\nfailed: {answer.failed}"
    assert not answer.failed, said
    rest = answer.text
    for line in block.answer:
        wanted = re.escape(replaced(line, values)).replace("…", ".*")
        found = re.search(f"^{wanted}$", rest, re.MULTILINE)
        assert found is not None, f"{said}\nit was to say: {line}"
        rest = rest[found.end() :]
