"""The way to the tests' server: which address is the pooler's, and what stands behind it.

The support code that starts processes is told through the environment of the test process, as its
functions know no more than a URL.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from urllib.parse import urlsplit, urlunsplit

from tests.pooler.pgbouncer import Pooling

_ROUTE = "OUTBOX_TEST_ROUTE"


def announce(
    environ: MutableMapping[str, str], *, pooled: str, direct: str, pooling: Pooling
) -> None:
    """Say once per test process which pooled address stands for which direct one."""
    environ[_ROUTE] = f"{pooled} {direct} {pooling}"


def direct_url(url: str) -> str:
    """The same database with the same login and without the pooler."""
    pooled, direct, _ = _route()
    return at(direct, url) if urlsplit(url).netloc.rpartition("@")[2] == pooled else url


def pooled_url(url: str) -> str:
    """The same database through the pooler, where there is one."""
    pooled, direct, _ = _route()
    return at(pooled, url) if urlsplit(url).netloc.rpartition("@")[2] == direct else url


def listen_url(url: str) -> str:
    """Where a worker with this DATABASE_URL is told to LISTEN."""
    return url if _route()[2] == Pooling.DEAF else direct_url(url)


def listen_setting(url: str) -> dict[str, str]:
    """DATABASE_LISTEN_URL of a worker with this DATABASE_URL; nothing where both are the same."""
    listen = listen_url(url)
    return {} if listen == url else {"DATABASE_LISTEN_URL": listen}


def direct_setting(url: str) -> dict[str, str]:
    """The same of a command that may migrate, which nothing but a direct connection can do."""
    direct = direct_url(url)
    return {} if direct == url else {"DATABASE_LISTEN_URL": direct}


def at(address: str, url: str) -> str:
    """The same database and login at another address, `host:port`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{address}"))


def _route() -> tuple[str, str, str]:
    pooled, direct, pooling = (os.environ.get(_ROUTE) or "- - -").split()
    return pooled, direct, pooling
