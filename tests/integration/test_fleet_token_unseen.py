"""The fleet's token is in the row of the gate, which people look at; they never see it."""

from __future__ import annotations

import asyncio

import pytest

from outbox_worker.database import Connection
from tests.support_cli import outbox, settings

TOKEN = "eyToken-that-nobody-sees"

COMMANDS = (
    "destinations",
    "status",
    "stats",
    "list",
    "alerts list",
    "config show --all",
    "pause guestly --reason test",
    "resume guestly",
)


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_command_shows_it(database_url: str, conn: Connection, command: str) -> None:
    await conn.execute(
        "update outbox.destination set access_token = %s, token_serial = 1, token_since = now(),"
        " token_expires_at = now() + interval '1 day', token_credentials = 'hash'"
        " where destination = 'guestly'",
        [TOKEN],
    )
    for form in ((), ("--json",)):
        ended = await asyncio.to_thread(
            outbox, *command.split(), *form, environ=settings(database_url)
        )
        assert ended.out, ended.err
        assert TOKEN not in ended.out + ended.err
