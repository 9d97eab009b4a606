"""Performs the faults of a seed, and writes down each one as it strikes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from outbox_worker.database import connection
from outbox_worker.errors import DatabaseError
from tests.chaos.database import Database
from tests.chaos.fleet import Member
from tests.chaos.proxy import Proxy, Weather
from tests.chaos.schedule import SLOW_S, Fault, Kind, rules
from tests.chaos.statements import rows
from tests.support_mail import MailApi, Posted, answer, broken

_CONTROL_S = 3.0
_AGAIN_S = 0.05
_WEATHER: Mapping[Kind, Weather] = {
    Kind.DATABASE_SLOW: Weather.SLOW,
    Kind.DATABASE_BLACK_HOLE: Weather.BLACK_HOLE,
    Kind.DATABASE_MUTE: Weather.MUTE,
    Kind.RECEIVER_MUTE: Weather.MUTE,
    Kind.PMS_SLOW: Weather.SLOW,
    Kind.PMS_BLACK_HOLE: Weather.BLACK_HOLE,
    Kind.PMS_MUTE: Weather.MUTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A fault that struck; ``at`` in seconds since 1970."""

    at: float
    kind: Kind
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Nemesis:
    """Everything that can go wrong, in one place.

    Args:
        database_side: Between the workers and Postgres.
        receiver_side: Between the receiver and Postgres.
        pms_side: Between the workers and the PMS.
        control: Of the simulator, without a proxy.
        struck: What was done so far.
        refused_mails: Mails that were not taken.
    """

    database: Database
    workers: Sequence[Member]
    receiver: Member
    pms: Member
    database_side: Proxy
    receiver_side: Proxy
    pms_side: Proxy
    control: httpx.AsyncClient
    mail: MailApi
    struck: list[Struck] = field(default_factory=list)
    refused_mails: list[Posted] = field(default_factory=list)
    _switches: Mapping[str, Any] = field(default_factory=dict)
    _aside: set[asyncio.Task[Any]] = field(default_factory=set)

    async def run(self, tracks: Sequence[Sequence[Fault]], *, began: float) -> None:
        """Perform all tracks side by side; ``began`` on the monotonic clock."""
        async with asyncio.TaskGroup() as group:
            for track in tracks:
                group.create_task(self._track(track, began))

    async def calm(self) -> None:
        """Undo everything that lasts."""
        if self._aside:
            await asyncio.gather(*self._aside)
        for proxy in (self.database_side, self.receiver_side, self.pms_side):
            proxy.clear()
        self.mail.script.clear()
        await self._until_told("DELETE", "faults")

    async def pms_ready(self) -> None:
        """Wait until the simulator answers."""
        await self._until_told("GET", "state")

    async def set_up(self, switches: Mapping[str, Any]) -> None:
        """Set the PMS up; from now on every fault strikes it now and then."""
        self._switches = switches
        await self._until_told("PATCH", "switches", switches)
        await self._until_told("PUT", "faults", list(rules(Kind.MIXED)))

    async def refuse_once(self, reference: str) -> None:
        """Let the PMS refuse one booking once."""
        rule = {"fault": "reject", "operation": "create", "reference": reference}
        await self._tell("POST", "faults/once", rule)

    async def _track(self, track: Sequence[Fault], began: float) -> None:
        for fault in track:
            await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
            await self._perform(fault)

    async def _perform(self, fault: Fault) -> None:
        detail: object = ""
        match fault.kind:
            case Kind.KILL_WORKER:
                detail = self._picked(fault).name
                self._picked(fault).kill()
            case Kind.STOP_WORKER | Kind.PAUSE_WORKER:
                detail = f"{self._picked(fault).name} for {fault.lasts:.2f} s"
                self._do_aside(self._picked(fault).freeze(fault.lasts))
            case Kind.KILL_RECEIVER:
                self.receiver.kill()
            case Kind.PAUSE_RECEIVER:
                self._do_aside(self.receiver.freeze(fault.lasts))
            case Kind.TERMINATE:
                detail = await self._terminate(fault.pick)
            case Kind.CRASH_POSTGRES:
                await self.database.crash()
                await asyncio.sleep(fault.lasts)
                await self.database.start()
            case Kind.KILL_PMS | Kind.LOSE_KEYS:
                await self._lose_memory(fault)
            case Kind.MAIL_BREAKS:
                self.mail.script.append(broken)
            case Kind.MAIL_REFUSED:
                self.mail.script.append(self._refuse_mail)
            case _:
                await self._network_or_mood(fault)
        self.struck.append(Struck(at=time.time(), kind=fault.kind, detail=str(detail)))

    async def _network_or_mood(self, fault: Fault) -> None:
        proxy = self._side(fault.kind)
        weather = _WEATHER.get(fault.kind)
        if proxy is not None and weather is None:
            proxy.cut()
        elif proxy is not None and weather is not None:
            proxy.delay_s, proxy.weather = SLOW_S, weather
            await asyncio.sleep(fault.lasts)
            proxy.clear()
        else:
            await self._tell("PUT", "faults", list(rules(fault.kind)))
            await asyncio.sleep(fault.lasts)
            await self._tell("PUT", "faults", list(rules(Kind.MIXED)))

    def _side(self, kind: Kind) -> Proxy | None:
        """The proxy that a fault of the network strikes; None: it is none of the network."""
        match kind:
            case (
                Kind.DATABASE_CUT | Kind.DATABASE_SLOW | Kind.DATABASE_BLACK_HOLE
                | Kind.DATABASE_MUTE
            ):  # fmt: skip
                return self.database_side
            case Kind.RECEIVER_CUT | Kind.RECEIVER_MUTE:
                return self.receiver_side
            case Kind.PMS_CUT | Kind.PMS_SLOW | Kind.PMS_BLACK_HOLE | Kind.PMS_MUTE:
                return self.pms_side
            case _:
                return None

    async def _lose_memory(self, fault: Fault) -> None:
        if fault.kind is Kind.LOSE_KEYS:
            await self._tell("DELETE", "keys")
            return
        self.pms.kill()
        await asyncio.sleep(fault.lasts)
        # a restart forgets everything but what it holds
        await self.set_up(self._switches)

    async def _terminate(self, pick: int) -> str:
        with contextlib.suppress(DatabaseError):
            async with connection(self.database.url, application_name="chaos nemesis") as conn:
                ended = await rows(conn, "terminate_backends", pick=pick)
                return f"{len(ended)} of them"
        return "none: Postgres is away"

    async def _refuse_mail(self, writer: asyncio.StreamWriter) -> None:
        # the mailbox calls this in the same step in which it has put the mail down
        self.refused_mails.append(self.mail.posted[-1])
        await answer(503)(writer)

    def _picked(self, fault: Fault) -> Member:
        return self.workers[fault.pick % len(self.workers)]

    def _do_aside(self, doing: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(doing)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _until_told(self, method: str, path: str, body: Any = None) -> None:
        # whoever keeps it running starts it again
        while not await self._tell(method, path, body):  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(_AGAIN_S)

    async def _tell(self, method: str, path: str, body: Any = None) -> bool:
        """A control call; False: the simulator is away."""
        try:
            told = await self.control.request(
                method,
                f"/_simulator/{path}",
                content=None if body is None else json.dumps(body).encode(),
                headers={"content-type": "application/json"},
                timeout=_CONTROL_S,
            )
        except httpx.TransportError:
            return False
        if not told.is_success:
            raise AssertionError(f"{method} {path}: {told.status_code} {told.text}")
        return True
