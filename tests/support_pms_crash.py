"""Points at which a worker is lost: around each write to the PMS, and once it is settled."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

from outbox_worker.pms.http import PmsHttp
from outbox_worker.worker import single
from outbox_worker.worker.settle import settle


class Moment(StrEnum):
    """Where, seen from one write."""

    BEFORE_WRITE = "before the write"
    AFTER_WRITE = "after the write, before it is settled"
    AFTER_SETTLE = "after it was settled"


class Crash(BaseException):
    """The process is gone: nothing that catches errors may catch it."""


class _Patch(Protocol):
    def setattr(self, target: object, name: str, value: object) -> None: ...


class _Place:
    """Replaces attributes for good: of a process that is about to end."""

    def setattr(self, target: object, name: str, value: object) -> None:
        setattr(target, name, value)


def replacing_in(patch: _Patch, moment: Moment, number: int) -> None:
    """Let this process crash at the write with this number, by an exception."""

    def crash() -> None:
        raise Crash

    _arm(patch, moment, number, crash)


def killing(moment: str, number: int) -> None:
    """Let this process be killed at the write with this number."""

    def crash() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    _arm(_Place(), Moment(moment), number, crash)


def _arm(patch: _Patch, moment: Moment, number: int, crash: Callable[[], None]) -> None:
    exchange = PmsHttp.exchange
    writes = 0

    @functools.wraps(exchange)
    async def exchanging(http: PmsHttp, method: str, path: tuple[str, ...], **more: Any) -> Any:
        nonlocal writes
        counted = method != "GET" and path != ("oauth2", "token")
        writes += counted
        if counted and writes == number and moment is Moment.BEFORE_WRITE:
            crash()
        done = await exchange(http, method, path, **more)
        if counted and writes == number and moment is Moment.AFTER_WRITE:
            crash()
        return done

    @functools.wraps(settle)
    async def settling(*args: Any, **more: Any) -> Any:
        settled = await settle(*args, **more)
        if writes == number and moment is Moment.AFTER_SETTLE:
            crash()
        return settled

    patch.setattr(PmsHttp, "exchange", exchanging)
    patch.setattr(single, "settle", settling)
