"""Arguments whose bytes are no text: a clear refusal, never a traceback."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from tests.support_cli import outbox, settings

NO_TEXT = os.fsdecode(b"LA2026-\xff")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", NO_TEXT),
        ("check", NO_TEXT),
        ("sync", NO_TEXT),
        ("requeue", NO_TEXT),
        ("discard", NO_TEXT, "--reason", "a test", "--yes"),
        ("link", NO_TEXT, "652f0000000000000000b001", "--unverified"),
        ("events", "show", NO_TEXT),
        ("events", "replay", NO_TEXT),
    ],
    ids=lambda arguments: " ".join(arguments[: arguments.index(NO_TEXT)]),
)
async def test_a_reference_that_is_no_utf_8_is_not_found_as_any_wrong_one(
    conn: Connection, database_url: str, arguments: tuple[str, ...]
) -> None:
    del conn
    environ = settings(database_url, GUESTLY_API_URL="http://127.0.0.1:9", GUESTLY_API_KEY="k")

    ended = await asyncio.to_thread(outbox, *arguments, environ=environ)

    assert ended.code == 6, ended.err
    assert "Traceback" not in ended.err
    assert "known" in ended.err
    assert r"'LA2026-\udcff'" in ended.err
    assert "\nfix: " in ended.err


async def test_the_refusal_says_what_is_wrong_with_it_in_json_too(
    conn: Connection, database_url: str
) -> None:
    del conn
    ended = await asyncio.to_thread(
        outbox, "show", NO_TEXT, "--json", environ=settings(database_url)
    )

    error = ended.json()["error"]
    assert (error["exit_code"], error["code"]) == (6, "not_found")
    assert "its bytes are no text in UTF-8" in error["message"]


async def test_any_other_argument_that_is_no_utf_8_is_a_misuse_that_is_named(
    conn: Connection, database_url: str
) -> None:
    ended = await asyncio.to_thread(
        outbox, "pause", "guestly", "--reason", NO_TEXT, environ=settings(database_url)
    )

    assert ended.code == 2, ended.err
    assert ended.err == (
        "error: the argument 'LA2026-\\udcff' holds bytes that are no text in UTF-8.\n"
        "fix: Type it again, or copy it from a list that `outbox` prints.\n"
    )
    cursor = await conn.execute("select paused_at from outbox.destination")
    assert {row["paused_at"] for row in await cursor.fetchall()} == {None}


async def test_a_path_may_hold_any_bytes(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    """File systems know no encoding, so a settings file of such a name is read like any other."""
    del conn
    file = tmp_path / NO_TEXT
    file.write_text(f"DATABASE_URL='{database_url}'\n")

    environ = settings("")
    del environ["DATABASE_URL"]

    ended = await asyncio.to_thread(
        outbox, "show", "LA-1", "--env-file", os.fspath(file), environ=environ
    )

    assert ended.code == 6, ended.err
    assert "nothing is known under 'LA-1'" in ended.err
