"""Reading what claims need, so that one unreadable row costs only itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outbox_worker.database import Connection, translated
from outbox_worker.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseUnreachableError,
    SchemaError,
)
from outbox_worker.handlers.protocol import Handler
from outbox_worker.outbox.delivery import Claim, DeliveryId
from outbox_worker.outbox.outcome import Retry
from outbox_worker.worker.execute import Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What was read for the claims of one destination.

    Args:
        states: By delivery; what the handler's ``run`` takes.
        unreadable: Claims whose rows could not be read, as failed attempts.
    """

    states: dict[DeliveryId, Any]
    unreadable: tuple[Finished, ...]


async def read(conn: Connection, handler: Handler[Any], claims: Sequence[Claim]) -> Intake:
    """Load the states of claims, one by one where a row spoils the statement for all.

    Raises:
        DatabaseUnreachableError: The connection is gone.
        SchemaError: Nothing of this destination can be read: not one row's fault.
        DatabaseBusyError: Somebody else was in the way; ask again.
    """
    try:
        with translated():
            return Intake(states=dict(await handler.load(conn, claims)), unreadable=())
    except (DatabaseUnreachableError, SchemaError, DatabaseBusyError):
        raise
    except DatabaseError as error:
        if len(claims) == 1:
            retry = Retry(code="row_unreadable", message=f"its data cannot be read: {error}")
            result = handler.failed(claims[0], retry)
            failed = Finished(claim=claims[0], result=result, seconds=0.0)
            return Intake(states={}, unreadable=(failed,))
    states: dict[DeliveryId, Any] = {}
    unreadable: list[Finished] = []
    for claim in claims:
        single = await read(conn, handler, [claim])
        states |= single.states
        unreadable += single.unreadable
    return Intake(states=states, unreadable=tuple(unreadable))
