"""One Postgres server per run, one cloned database per test.

The server is, in this order: TEST_DATABASE_URL; a container when OUTBOX_TEST_DOCKER=1; the programs
in OUTBOX_TEST_POSTGRES_BIN; the embedded package; a server of this machine. With xdist the
controller starts it and tells the workers its URL. The schema is migrated once, into a template
that every test's database is cloned from.

OUTBOX_TEST_POOLER=listen puts PgBouncer between the tests' databases and everybody who uses them;
cloning, migrating and LISTEN stay direct. With OUTBOX_TEST_POOLER=deaf LISTEN leads through it too,
and delivers nothing.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
from psycopg import sql

from outbox_worker import migrate
from outbox_worker.database import Connection, connect, translated
from outbox_worker.demo.postgres import cluster
from outbox_worker.demo.postgres_binaries import binaries_in
from outbox_worker.errors import OutboxError
from tests.pooler import route
from tests.pooler.pgbouncer import Pooling, pgbouncer, pooling_of

# The same examples at every run, whatever the machine's speed: `--hypothesis-profile=explore` looks
# for new ones.
_SLOW = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=_SLOW
)
hypothesis.settings.register_profile("explore", deadline=None, suppress_health_check=_SLOW)
hypothesis.settings.load_profile("repeatable")

_DEFAULT_IMAGE = "postgres:16-alpine"
_ROOM_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The run's server: a superuser's URL, the migrated template's name, and faults for the tests.

    A fault is kept as text and shown by the tests that need what is missing: the others still run.
    ``cloning`` is how databases are made of the template; the server's own way where it is empty.
    ``pooled`` is the address of the pooler in front of it, empty where there is none, and
    ``pooling`` what it does.
    """

    url: str = ""
    source: str = ""
    template: str = ""
    cloning: str = ""
    server_fault: str = ""
    template_fault: str = ""
    pooled: str = ""
    pooling: str = ""


_OPEN = pytest.StashKey[contextlib.ExitStack]()
_SERVER = pytest.StashKey[Server]()
_EXEMPT = "no LISTEN through the pooler: "


def pytest_configure(config: pytest.Config) -> None:
    # a shell's background job ignores the first two, nohup the third, and so would every process
    # that a test sends one to
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for ignored in (signal.SIGQUIT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_DFL)
    config.addinivalue_line(
        "markers",
        "needs_listen(reason): it is about LISTEN itself; left out where no notification arrives",
    )
    config.addinivalue_line("markers", "plans: query plans on 1.2M rows; make test-plans")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from what all tests are made of, which lasts to the end.

    That is more than a million objects: looking through them stops a process for one second or two
    now and then, whatever time-out a test has set.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("OUTBOX_TEST_POOLER") != Pooling.DEAF:
        return
    for item in items:
        for mark in item.iter_markers("needs_listen"):
            item.add_marker(pytest.mark.skip(reason=_EXEMPT + mark.kwargs["reason"]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell an xdist worker where the run's server is."""
    server = _server_of(node.config)  # type: ignore[attr-defined]  # xdist has no types
    node.workerinput["server"] = {name: getattr(server, name) for name in Server.__slots__}  # type: ignore[attr-defined]  # as above


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    server = terminalreporter.config.stash.get(_SERVER, None)
    if server and server.source:
        terminalreporter.write_line(f"Postgres of this run: {server.source}")
    if server and server.pooled:
        exempt = sum(
            _EXEMPT in str(each.longrepr) for each in terminalreporter.getreports("skipped")
        )
        terminalreporter.write_line(
            f"Through PgBouncer in transaction mode ({server.pooling});"
            f" {exempt} tests left out because they are about LISTEN"
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    if _OPEN in config.stash:
        config.stash[_OPEN].close()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    found = _server_of(request.config)
    if found.server_fault:
        pytest.fail(found.server_fault, pytrace=False)
    if found.pooled:
        direct = urlsplit(found.url).netloc.rpartition("@")[2]
        pooling = Pooling(found.pooling)
        route.announce(os.environ, pooled=found.pooled, direct=direct, pooling=pooling)
    return found


@pytest.fixture(scope="session")
def server_url(server: Server) -> str:
    """URL of the server's maintenance database, as a role that may create databases and roles."""
    return server.url


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """URL of a fresh database with all migrations applied; it is dropped after the test.

    It leads through the pooler where there is one.
    """
    if server.template_fault:
        pytest.fail(server.template_fault, pytrace=False)
    with _database(server, template=server.template) as url:
        yield route.pooled_url(url)


@pytest.fixture
def direct_url(database_url: str) -> str:
    """The same database without a pooler: for a test that needs a session of its own."""
    return route.direct_url(database_url)


@pytest.fixture
def listen_url(database_url: str) -> str:
    """The same database as a worker is told to LISTEN to it (DATABASE_LISTEN_URL)."""
    return route.listen_url(database_url)


@pytest.fixture
def empty_database_url(server: Server) -> Iterator[str]:
    """URL of a fresh database with nothing in it; it is dropped after the test."""
    with _database(server, template="template0") as url:
        yield url


@pytest.fixture(scope="session")
def new_database(server: Server) -> Callable[[], contextlib.AbstractContextManager[str]]:
    """Makes what `database_url` is, for as long as the caller likes, and without a pooler."""
    if server.template_fault:
        pytest.fail(server.template_fault, pytrace=False)
    return lambda: _database(server, template=server.template)


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    """An autocommit connection to `database_url` with rows as dicts."""
    connection = await connect(database_url, application_name="test")
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def session(direct_url: str) -> AsyncIterator[Connection]:
    """The same without a pooler: what a statement leaves in its session is there for the next."""
    connection = await connect(direct_url, application_name="test")
    try:
        yield connection
    finally:
        await connection.close()


def _server_of(config: pytest.Config) -> Server:
    """The run's server, started at the first question (in a worker: as the controller said)."""
    if _SERVER not in config.stash:
        told = getattr(config, "workerinput", {}).get("server")
        config.stash[_SERVER] = Server(**told) if told else _begin(config)
    return config.stash[_SERVER]


def _begin(config: pytest.Config) -> Server:
    opened = config.stash[_OPEN] = contextlib.ExitStack()
    template = f"outbox_template_{secrets.token_hex(4)}"
    try:
        url, source, cloning = opened.enter_context(_choose(os.environ))
        _execute(url, "create database {} template template0", template)
        pooling = pooling_of(os.environ)
        pooled = opened.enter_context(pgbouncer(url, pooling)) if pooling else ""
    except OutboxError as error:
        return Server(server_fault=f"{error}. {error.hint}")
    opened.callback(_execute, url, "drop database if exists {} with (force)", template)
    fault = ""
    try:
        migrate.apply(_with_database(url, template))
    except OutboxError as error:
        fault = f"the migrations failed: {error} {error.hint}"
    return Server(
        url=url,
        source=source,
        template=template,
        cloning=cloning,
        template_fault=fault,
        pooled=pooled,
        pooling=pooling.value if pooling else "",
    )


@contextlib.contextmanager
def _choose(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the URL, the description and the way of cloning of the server for this run."""
    given, programs = environ.get("TEST_DATABASE_URL"), environ.get("OUTBOX_TEST_POSTGRES_BIN")
    if given:
        if urlsplit(given).scheme not in {"postgres", "postgresql"}:
            raise OutboxError("TEST_DATABASE_URL is not a URL", hint="Use postgresql://…/postgres.")
        yield given, f"TEST_DATABASE_URL, {_version(given)}", ""
    elif environ.get("OUTBOX_TEST_DOCKER") == "1":
        with _container(environ.get("OUTBOX_TEST_IMAGE") or _DEFAULT_IMAGE) as (url, image):
            yield url, f"container of image {image}, {_version(url)}", ""
    else:
        named = binaries_in(Path(programs)) if programs else None
        settings = {"autovacuum": "off", "max_wal_size": "256MB"}
        with cluster(binaries=named, settings=settings, parent=_memory()) as running:
            # Without fsync, copying files costs a third less than writing them to the WAL.
            cloning = "" if running.version.startswith("14") else "strategy file_copy"
            yield running.url, f"{running.source}, {_version(running.url)}", cloning


def _memory() -> Path | None:
    """A folder in memory with room for the run: cloning costs a fifth of the time there."""
    folder = Path("/dev/shm")  # noqa: S108 (the server makes a private folder in it)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return None
    status = os.statvfs(folder)
    roomy = status.f_bavail * status.f_frsize > _ROOM_BYTES
    # The starter may have to put a copy of the server's programs there.
    return folder if roomy and not status.f_flag & os.ST_NOEXEC else None


@contextlib.contextmanager
def _container(image: str) -> Iterator[tuple[str, str]]:
    from docker.errors import DockerException  # type: ignore[import-untyped]  # ships none
    from testcontainers.community.postgres import PostgresContainer

    command = "postgres -c fsync=off -c max_connections=200 -c autovacuum=off"
    try:
        container = PostgresContainer(image, driver=None).with_command(command).start()
    except DockerException as error:
        raise OutboxError(
            f"no container of {image} can be started: {error}",
            hint="Try `make test-docker`, which looks after the engine and the image.",
        ) from error
    try:
        yield container.get_connection_url(), image
    finally:
        container.stop()


@contextlib.contextmanager
def _database(server: Server, *, template: str) -> Iterator[str]:
    name = f"outbox_test_{secrets.token_hex(8)}"
    _execute(server.url, f"create database {{}} template {{}} {server.cloning}", name, template)
    try:
        yield _with_database(server.url, name)
    finally:
        _execute(server.url, "drop database if exists {} with (force)", name)


def _execute(url: str, statement: str, *names: str) -> None:
    with translated(), psycopg.connect(url, autocommit=True) as connection:
        identifiers = [sql.Identifier(name) for name in names]
        connection.execute(sql.SQL(statement).format(*identifiers))


def _version(url: str) -> str:
    with translated(), psycopg.connect(url) as connection:
        return f"Postgres {connection.info.parameter_status('server_version')}"


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
