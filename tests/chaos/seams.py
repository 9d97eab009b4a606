"""Where the crash points lie: wrappers around functions of the ordinary worker and receiver.

A seam that is gone raises at the start of the process, so that no point is lost in silence.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeAlias

import psycopg

from tests.chaos.points import Fuse, Point

Async: TypeAlias = Callable[..., Awaitable[Any]]

#: The two points around the COMMIT that is about to be sent, if it has any.
_around: ContextVar[tuple[Point, Point] | None] = ContextVar("around", default=None)


class SeamMissingError(Exception):
    """The function that a crash point lies at is used nowhere any more."""


def of_worker(fuse: Fuse) -> None:
    """Wrap the seams of a worker; call it before anything of the worker runs."""
    from outbox_worker.alerts.email import EmailApiChannel
    from outbox_worker.outbox import store
    from outbox_worker.pms.guestly import Guestly
    from outbox_worker.pms.guesty import Guesty
    from outbox_worker.pms.guesty_token_endpoint import Endpoint
    from outbox_worker.worker import settle, supervisor

    del supervisor  # imported for everything that it imports: only what is loaded can be wrapped
    for name in ("claim", "claim_one"):
        _replace("outbox_worker.outbox", getattr(store, name), _after_claim(fuse))
    for adapter in (Guestly, Guesty):
        _wrap(adapter, "find", fuse, before=Point.BEFORE_LOOK_UP, after=Point.AFTER_LOOK_UP)
        for name in ("create", "update", "cancel"):
            _wrap(adapter, name, fuse, before=Point.BEFORE_FIRST_BYTE, after=Point.AFTER_ANSWER)
    _wrap(Endpoint, "request", fuse, before=Point.BEFORE_TOKEN, after=Point.AFTER_TOKEN)
    _wrap(EmailApiChannel, "send", fuse, before=Point.BEFORE_MAIL, after=Point.AFTER_MAIL)
    commit = (Point.SETTLE_BEFORE_COMMIT, Point.SETTLE_AFTER_COMMIT)
    _replace(
        "outbox_worker.worker",
        settle.settle,
        _transaction(fuse, before=Point.BEFORE_SETTLE, around=commit),
        least=2,
    )
    _wrap_commit(fuse)


def of_receiver(fuse: Fuse) -> None:
    """Wrap the seams of the receiver; call it before anything of the receiver runs."""
    from outbox_worker.payments import inbox

    commit = (Point.RECEIVE_BEFORE_COMMIT, Point.RECEIVE_AFTER_COMMIT)
    _replace(
        "outbox_worker.payments", inbox.receive, _transaction(fuse, before=None, around=commit)
    )
    _wrap_commit(fuse)


def _after_claim(fuse: Fuse) -> Callable[[Async], Async]:
    def wrapped(original: Async) -> Async:
        @functools.wraps(original)
        async def claim(*args: Any, **options: Any) -> Any:
            claimed = await original(*args, **options)
            if getattr(claimed, "claims", claimed):
                fuse.reached(Point.AFTER_CLAIM)
            return claimed

        return claim

    return wrapped


def _transaction(
    fuse: Fuse, *, before: Point | None, around: tuple[Point, Point]
) -> Callable[[Async], Async]:
    def wrapped(original: Async) -> Async:
        @functools.wraps(original)
        async def transaction(*args: Any, **options: Any) -> Any:
            if before is not None:
                fuse.reached(before)
            token = _around.set(around)
            try:
                return await original(*args, **options)
            finally:
                _around.reset(token)

        return transaction

    return wrapped


def _wrap(owner: type, name: str, fuse: Fuse, *, before: Point, after: Point) -> None:
    original: Async = getattr(owner, name)

    @functools.wraps(original)
    async def call(*args: Any, **options: Any) -> Any:
        fuse.reached(before)
        answer = await original(*args, **options)
        fuse.reached(after)
        return answer

    setattr(owner, name, call)


def _wrap_commit(fuse: Fuse) -> None:
    """Pass the two points around the COMMIT of a transaction that has them."""
    original = psycopg.AsyncTransaction.__aexit__
    plain = psycopg.AsyncConnection.commit

    async def leave(
        transaction: psycopg.AsyncTransaction,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        points = _around.get()
        # a savepoint commits nothing
        if points is None or exc is not None or transaction.savepoint_name:
            return await original(transaction, exc_type, exc, trace)
        fuse.reached(points[0])
        done = await original(transaction, exc_type, exc, trace)
        if fuse.reached(points[1]):
            await transaction.connection.close()
            raise psycopg.OperationalError("the connection was lost during COMMIT")
        return done

    async def commit(conn: psycopg.AsyncConnection[Any]) -> None:
        points = _around.get()
        if points is None:
            return await plain(conn)
        fuse.reached(points[0])
        await plain(conn)
        if fuse.reached(points[1]):
            await conn.close()
            raise psycopg.OperationalError("the connection was lost during COMMIT")
        return None

    setattr(psycopg.AsyncTransaction, "__aexit__", leave)  # noqa: B010 - a method, to mypy
    setattr(psycopg.AsyncConnection, "commit", commit)  # noqa: B010 - a method, to mypy


def _replace(
    package: str, original: Async, wrapper: Callable[[Async], Async], *, least: int = 1
) -> None:
    """Put a wrapped function in the place of the original, wherever the package refers to it.

    Args:
        package: Whose loaded modules are searched.
        original: The function.
        wrapper: Makes another one of it.
        least: References that there must be: one, and one more if it is imported by name.

    Raises:
        SeamMissingError: There are fewer.
    """
    wrapped = wrapper(original)
    places = 0
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    setattr(module, attribute, wrapped)
                    places += 1
    if places < least:
        raise SeamMissingError(f"{package} has no {original.__name__}")
