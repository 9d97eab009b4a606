"""Every command line of the documents can be typed as it stands, and what they name exists."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from outbox_worker.cli.invocation import Invocation
from outbox_worker.cli.root import outbox
from outbox_worker.payments import stripe_event
from tests.support_documents import DOCS, GUIDE, QUICKSTART, blocks
from tests.support_source import ROOT

SEED = DOCS / "reference" / "from-the-seed.md"
DOCUMENTS = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))
#: A file that exists, for the options that read one.
A_FILE = str(Path(__file__))

_INLINE = re.compile(r"`(outbox [^`]+)`")
_TYPED = re.compile(r"^ *(?:\$ |[\w/.-]*/(?=outbox ))?(outbox .*)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_NAME = re.compile(r"`([a-z]+(?:_[a-z0-9]+)+)`")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def commands(path: Path) -> Iterator[str]:
    """What a document shows of `outbox`, in its text and in its blocks, without what shells add."""
    text = path.read_text(encoding="utf-8")
    prose = _FENCED.sub("", text)
    blocked = [block.text for block in blocks(path)]
    indented = "\n".join(line for line in prose.splitlines() if line.startswith("    "))
    for typed in [*blocked, indented]:
        for match in _TYPED.finditer(typed):
            line = re.split(r" +(?:#|>|\||&&|2>) *", match[1])[0]
            if not line.startswith(("outbox migrate: ", "outbox python")):
                yield line
    for match in _INLINE.finditer(prose):
        line = " ".join(match[1].split())
        # a grammar, not a command; or the name of several
        if not re.search(r"\[|\||…$", line):
            yield line


COMMANDS = sorted({line for path in DOCUMENTS for line in commands(path)})


def leaf(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, and what is left of them."""
    found: click.Command = outbox
    while isinstance(found, click.Group) and words:
        child = found.get_command(click.Context(found), words[0])
        assert child is not None, f"there is no command {words[0]}"
        found, words = child, words[1:]
    return found, words


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_a_document_can_be_typed(line: str) -> None:
    words = shlex.split(line)[1:]
    # reading a file is another test's subject
    words = [A_FILE if word.endswith((".env", ".json")) else word for word in words]
    words = ["-" if word.endswith(".csv") else word for word in words]
    if A_FILE in words and words[words.index(A_FILE) - 1] == "--env-file":
        at = words.index(A_FILE)
        words = words[: at - 1] + words[at + 1 :]
    command, arguments = leaf([word for word in words if word != "--version"])
    if not arguments:
        return  # the command's name
    if all(word.startswith("--") for word in arguments) and any(
        isinstance(each, click.Argument) for each in command.params
    ):
        arguments = [*arguments, "REF"]  # an option of the command is spoken of

    context = command.make_context(line, arguments, obj=Invocation(environ={}, as_json=False))

    assert context.args == []


def anchors(path: Path) -> set[str]:
    """The places of a document that a link can lead to."""
    text = _FENCED.sub("", path.read_text(encoding="utf-8"))
    plain = (re.sub(r"[^\w\- ]", "", match[1].lower()) for match in _HEADING.finditer(text))
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("path", [str(each.relative_to(ROOT)) for each in DOCUMENTS])
def test_a_link_of_a_document_leads_somewhere(path: str) -> None:
    lost = []
    for target in _LINK.findall((ROOT / path).read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        place = ((ROOT / path).parent / file).resolve() if file else ROOT / path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            lost.append(target)

    assert lost == []


@pytest.mark.parametrize("path", [GUIDE, QUICKSTART, SEED], ids=lambda path: str(path.name))
def test_a_name_of_the_code_in_a_document_is_in_the_code(path: Path) -> None:
    folders = ("outbox_worker", "webhook_receiver", "migrations", "deploy")
    files = [
        file for name in folders for file in sorted((ROOT / name).rglob("*")) if file.is_file()
    ]
    source = "\n".join(
        file.read_text(encoding="utf-8") for file in files if file.suffix in {".py", ".sql", ".md"}
    )
    names = set(_NAME.findall(path.read_text(encoding="utf-8")))

    names = {re.sub(r"^http_\d+$", "http_", name) for name in names}  # the status is put in there
    assert [name for name in sorted(names) if name not in source] == []
    assert names


def test_the_events_to_subscribe_to_are_all_that_are_understood() -> None:
    [block] = [each for each in blocks(QUICKSTART, "text") if "events" in each.words]
    understood = {
        kind
        for kind in [*block.text.split(), "payment_intent.created", "charge.succeeded"]
        if not isinstance(
            stripe_event.read(
                json.dumps(
                    {
                        "id": "evt_1",
                        "object": "event",
                        "type": kind,
                        "livemode": False,
                        "data": {"object": {"id": "x_1", "object": "thing", "mode": "payment"}},
                    }
                ).encode()
            ).meaning,
            stripe_event.Ignored,
        )
    }

    assert understood == set(block.text.split())
    assert len(understood) == len(block.text.split())


NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_a_test_that_a_document_names_exists() -> None:
    named = NAMED_TEST.findall((ROOT / "docs/explanation/guarantees.md").read_text("utf-8"))

    assert named
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text("utf-8"), f"{file}::{name}"
