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
from outbox_worker.pms.port import PmsName
from tests.chaos import rules_guesty
from tests.chaos.database import Database
from tests.chaos.fleet import Member
from tests.chaos.proxy import Proxy, Weather
from tests.chaos.schedule import SLOW_S, Fault, Kind, rules
from tests.chaos.statements import rows
from tests.support_mail import MailApi, Posted, answer, broken

_CONTROL_S = 3.0
_STATE_S = 20.0
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
        pms_name: What the simulator stands in for.
        control: Of the simulator, without a proxy.
        struck: What was done so far.
        refused_mails: Mails that were not taken.
    """

    database: Database
    workers: Sequence[Member]
    receiver: Member
    pms: Member
    pms_name: PmsName
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
        if self.pms_name is PmsName.GUESTY:
            lasting = {"token_seconds": rules_guesty.LONG_TOKEN_S, "rate_second": 0}
            await self._until_told("PATCH", "switches", lasting)
            while not await self._new_day():  # noqa: ASYNC110 - Postgres has no event for it
                await asyncio.sleep(_AGAIN_S)

    async def pms_ready(self) -> None:
        """Wait until the simulator answers."""
        await self._until_told("GET", "state")

    async def set_up(self, switches: Mapping[str, Any]) -> None:
        """Set the PMS up; from now on every fault strikes it now and then."""
        self._switches = switches
        await self._until_told("PATCH", "switches", switches)
        await self._until_told("PUT", "faults", self._rules(Kind.MIXED))

    async def refuse_once(self, reference: str) -> None:
        """Let the PMS refuse one booking once."""
        rule = {"fault": "reject", "operation": "create", "reference": reference}
        if self.pms_name is PmsName.GUESTY:
            place = int(reference.rpartition("-")[2]) % len(rules_guesty.REFUSALS)
            rule |= rules_guesty.REFUSALS[place]
        await self._tell("POST", "faults/once", rule)

    async def held(self) -> list[Mapping[str, Any]]:
        """All reservations that the PMS holds now."""
        answer = await self.control.get("/_simulator/state", timeout=_STATE_S)
        reservations: list[Mapping[str, Any]] = answer.json()["reservations"]
        return reservations

    async def token_requests(self) -> Mapping[str, int]:
        """What the PMS has counted of requests for tokens; only Guesty counts."""
        answer = await self.control.get("/_simulator/tokens", timeout=_CONTROL_S)
        counted: Mapping[str, int] = answer.json()
        return counted

    def _rules(self, kind: Kind) -> list[Mapping[str, Any]]:
        return list(rules(kind, self.pms_name))

    async def _track(self, track: Sequence[Fault], began: float) -> None:
        for fault in track:
            await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
            await self._perform(fault)

    async def _perform(self, fault: Fault) -> None:
        detail: object | None = ""
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
            case Kind.KILL_PMS | Kind.LOSE_KEYS | Kind.NARROW | Kind.REVOKE | Kind.NO_TOKEN:
                detail = await self._unsettle(fault)
            case Kind.MAIL_BREAKS | Kind.MAIL_REFUSED:
                refused = fault.kind is Kind.MAIL_REFUSED
                self.mail.script.append(self._refuse_mail if refused else broken)
            case _:
                await self._network_or_mood(fault)
        if detail is not None:
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
            await self._tell("PUT", "faults", self._rules(fault.kind))
            await asyncio.sleep(fault.lasts)
            await self._tell("PUT", "faults", self._rules(Kind.MIXED))

    async def _end_token(self, fault: Fault) -> str | None:
        """End the token, the day before it having passed; None: there was none that could end.

        One that is refused when it is new would be taken for one without a permission.
        """
        if not await self._new_day():
            return None
        with contextlib.suppress(DatabaseError):
            async with connection(self.database.url, application_name="chaos nemesis") as conn:
                if not await rows(conn, "token_that_may_end", young=rules_guesty.YOUNG):
                    return None
            rule: Mapping[str, Any] = {"operation": "token"}
            if fault.kind is Kind.NO_TOKEN:
                rule = {**rule, **rules_guesty.NO_TOKEN[fault.pick % len(rules_guesty.NO_TOKEN)]}
                if not await self._tell("POST", "faults/once", rule):
                    return None
            if await self._tell("DELETE", "tokens"):
                return str(rule.get("fault", ""))
        return None

    async def _new_day(self) -> bool:
        """Let a day pass for tokens, first where requests are counted, then where they are made.

        Returns:
            Whether it has for both.
        """
        if await self._tell("POST", "tokens/quota", {}):
            with contextlib.suppress(DatabaseError):
                async with connection(self.database.url, application_name="chaos nemesis") as conn:
                    return bool(await rows(conn, "new_day"))
        return False

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

    async def _unsettle(self, fault: Fault) -> str | None:
        """Take something from the PMS that it has; None: there was nothing to take."""
        match fault.kind:
            case Kind.REVOKE | Kind.NO_TOKEN:
                return await self._end_token(fault)
            case Kind.LOSE_KEYS:
                await self._tell("DELETE", "keys")
            case Kind.NARROW:
                await self._tell("PATCH", "switches", {"rate_second": rules_guesty.NARROW})
                await asyncio.sleep(fault.lasts)
                await self._until_told("PATCH", "switches", {"rate_second": 0})
            case _:
                self.pms.kill()
                await asyncio.sleep(fault.lasts)
                # a restart forgets everything but what it holds
                await self.set_up(self._switches)
        return ""

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
