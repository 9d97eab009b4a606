"""The site: its bookings, what it does to them, and triggers that remember it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

from outbox_worker.database import Connection, connect, translated
from outbox_worker.errors import DatabaseError
from outbox_worker.pms.port import PmsName
from tests.chaos.scenario import Edit, Plot, slug_of
from tests.chaos.statements import memory, rows, statement
from tests.support_simulator import LISTINGS

_AGAIN_S = 0.2
_LOOK_EVERY_S = 0.05
_MOST_CONNECTIONS = 8


class Site:
    """The site's own connections to Postgres, without any proxy; it repeats what failed.

    Args:
        url: Of the database.
        pms: Whose listings its properties are.
    """

    def __init__(self, url: str, *, pms: PmsName) -> None:
        self._url = url
        self._pms = pms
        self._turns = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._idle: list[Connection] = []
        self._unpaid: dict[UUID, asyncio.Event] = {}
        self.edits = 0
        self.cancellations = 0

    async def build(self) -> None:
        """Properties, listings and the memory of the run."""
        async with self._connection() as conn:
            await conn.execute(memory())
            for listing_id in LISTINGS:
                values = {
                    "pms": self._pms.value,
                    "slug": slug_of(listing_id),
                    "listing_id": listing_id,
                }
                await conn.execute(statement("insert_property"), values)
                await conn.execute(statement("insert_listing"), values)

    async def insert(self, plot: Plot) -> None:
        """A booking that nobody has paid yet."""
        values = {
            name: getattr(plot, name)
            for name in (
                "id", "reference", "slug", "first_name", "last_name", "email", "phone",
                "check_in", "check_out", "total", "intent_id",
            )
        }  # fmt: skip
        while True:
            with contextlib.suppress(DatabaseError):
                async with self._connection() as conn:
                    await conn.execute(statement("insert_booking"), values)
                return
            await asyncio.sleep(_AGAIN_S)

    async def confirm(self, plot: Plot) -> None:
        """Confirm a booking without any payment, and request its sync."""
        async with self._connection() as conn, conn.transaction():
            await conn.execute(statement("confirm_booking"), {"id": plot.id})
            await conn.execute(statement("request_sync"), {"id": plot.id})

    async def confirmed(self, plot: Plot) -> None:
        """Wait until the booking is not pending any more; `watch` says so."""
        await self._unpaid.setdefault(plot.id, asyncio.Event()).wait()

    async def watch(self) -> None:
        """Look for payments, for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if not self._unpaid:
                continue
            with contextlib.suppress(DatabaseError):
                async with self._connection() as conn:
                    for row in await rows(conn, "paid_bookings", ids=list(self._unpaid)):
                        self._unpaid.pop(row["id"]).set()

    async def edit(self, plot: Plot, edit: Edit) -> None:
        """Change or cancel a booking and request its sync, in one transaction.

        Repeated after a lost connection it changes nothing more: only the request is made twice.
        """
        what = "cancel_booking" if edit.check_out is None else "edit_booking"
        values: dict[str, object] = {
            "id": plot.id,
            "check_out": edit.check_out,
            "wish": edit.wish,
            "confirmed_first": plot.confirmed_first,
        }
        changed: bool | None = None
        while changed is None:
            changed = await self._try_to_change(what, values, holds=edit.holds)
        if changed and edit.check_out is None:
            self.cancellations += 1
        elif changed:
            self.edits += 1

    async def _try_to_change(
        self, what: str, values: dict[str, object], *, holds: float
    ) -> bool | None:
        """Whether anything changed; None: it could not be tried, or nobody knows."""
        try:
            async with self._connection() as conn, conn.transaction():
                changed = (await conn.execute(statement(what), values)).rowcount > 0
                if changed:
                    await conn.execute(statement("request_sync"), values)
                    await asyncio.sleep(holds)
        except DatabaseError:
            await asyncio.sleep(_AGAIN_S)
            return None
        return changed

    async def close(self) -> None:
        """Close what is idle."""
        for conn in self._idle:
            await conn.close()
        self._idle.clear()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with self._turns:
            if self._idle:
                conn = self._idle.pop()
            else:
                conn = await connect(self._url, application_name="chaos site")
            try:
                with translated():
                    yield conn
            except BaseException:
                await conn.close()
                raise
            self._idle.append(conn)
