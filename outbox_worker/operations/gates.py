"""Shutting a destination and opening it again, by a person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from outbox_worker.database import Connection
from outbox_worker.gate import store
from outbox_worker.gate import token as tokens
from outbox_worker.gate.circuit import State
from outbox_worker.gate.store import Pause
from outbox_worker.operations.actions import record_action
from outbox_worker.outbox import store as outbox_store
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms import guesty_token
from outbox_worker.pms.guesty_token_words import REFUSED_ACCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A destination that takes nothing from now on; ``before``: it was paused already."""

    destination: Destination
    pause: Pause
    before: Pause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A destination that a person does not hold any more.

    Args:
        before: The pause that ended; None: there was none.
        waited: Whether the destination itself had asked to be left alone for a while.
        circuit: Not closed: a probe decides, which may be sent at once.
        no_token: Whether no access token was to be requested for a while.
        tokens_left: How many may be requested within these 24 hours; None: access tokens were not
            what it wanted.
        token_kept: With ``tokens_left``: the next call takes the token that there is.
        token_at: With ``tokens_left``: none can be had before, aware UTC; None: at once.
    """

    destination: Destination
    before: Pause | None
    waited: bool
    circuit: State
    no_token: bool = False
    tokens_left: int | None = None
    token_kept: bool = False
    token_at: datetime | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was held by a pause, a wait or an open circuit."""
        waited = self.waited or self.no_token
        return self.before is not None or waited or self.circuit is not State.CLOSED


async def pause(
    conn: Connection,
    destination: Destination,
    *,
    actor: str,
    reason: str,
    length: timedelta | None,
) -> Paused:
    """Keep a destination shut; what is owed to it is held, and what is under way is finished.

    Args:
        conn: In autocommit mode.
        destination: Which one.
        actor: Who, for the history and for everybody who asks why nothing is sent.
        reason: Why.
        length: From now on; None: until it is resumed.
    """
    async with conn.transaction():
        before = (await store.lock(conn, destination)).pause
        gate = await store.pause(conn, destination, by=actor, reason=reason, length=length)
        await record_action(
            conn, actor=actor, action="pause", target=destination, affected=1, reason=reason
        )
    await outbox_store.notify(conn)
    if gate.pause is None:
        raise AssertionError("a pause lasts longer than its own transaction")
    return Paused(destination=destination, pause=gate.pause, before=before)


async def resume(conn: Connection, destination: Destination, *, actor: str) -> Resumed:
    """Open a destination again; an open circuit lets its next probe through at once.

    Args:
        conn: In autocommit mode.
        destination: Which one.
        actor: Who, for the history.
    """
    async with conn.transaction():
        gate = await store.lock(conn, destination)
        token = await tokens.read_hidden(conn, destination)
        no_token = token.not_before is not None and token.not_before > token.now
        resumed = Resumed(
            destination=destination,
            before=gate.pause,
            waited=gate.held,
            circuit=gate.circuit.state,
            no_token=no_token,
        )
        if resumed.changed:
            await store.resume(conn, destination)
            await record_action(conn, actor=actor, action="resume", target=destination, affected=1)
        if no_token or gate.lacks_token or gate.circuit.code in REFUSED_ACCESS:
            # as it is now: a resume may have given a token up
            token = await tokens.read_hidden(conn, destination)
            ahead = guesty_token.outlook(token)
            resumed = replace(
                resumed,
                tokens_left=guesty_token.left(token),
                token_kept=ahead.kept,
                token_at=ahead.waits_until,
            )
    await outbox_store.notify(conn)
    return resumed
