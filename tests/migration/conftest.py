"""Databases of a site that exists already, as the migrations find them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from outbox_worker import migrate
from tests.migration.support_site import (
    OWNER,
    Connection,
    Site,
    connect,
    create_roles,
    run_file,
    with_user,
)

_HERE = Path(__file__).parent


@contextlib.contextmanager
def _database(server_url: str, template: str) -> Iterator[Site]:
    name = f"outbox_site_{secrets.token_hex(8)}"
    with connect(server_url) as server:
        server.execute(f"create database {name} template {template} owner {OWNER}")
        admin_url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        try:
            yield Site(url=with_user(admin_url, OWNER, "owner"), admin_url=admin_url)
        finally:
            server.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def site_template(server_url: str) -> Iterator[str]:
    """Name of a database with the site's empty tables and Supabase's default privileges."""
    create_roles(server_url)
    with _database(server_url, "template0") as made:
        with connect(made.admin_url) as admin:
            # before Postgres 15 the schema does not belong to the database's owner
            admin.execute(f"alter schema public owner to {OWNER}")
        run_file(made.url, _HERE / "site.sql")
        yield urlsplit(made.url).path[1:]


@pytest.fixture(scope="session")
def migrated_template(server_url: str, site_template: str) -> Iterator[str]:
    """Name of the same, migrated by its owner."""
    with _database(server_url, site_template) as made:
        migrate.apply(made.url)
        yield urlsplit(made.url).path[1:]


@pytest.fixture
def site(server_url: str, site_template: str) -> Iterator[Site]:
    """The site's empty tables, not migrated."""
    with _database(server_url, site_template) as made:
        yield made


@pytest.fixture
def lived_in(site: Site) -> Site:
    """The same, after the site's own synchronisation has written rows of every kind."""
    run_file(site.url, _HERE / "takeover.sql")
    return site


@pytest.fixture
def migrated(server_url: str, migrated_template: str) -> Iterator[Site]:
    """The site's tables, migrated by their owner."""
    with _database(server_url, migrated_template) as made:
        yield made


@pytest.fixture
def owner(migrated: Site) -> Iterator[Connection]:
    """A connection of the owner to `migrated`."""
    with connect(migrated.url) as conn:
        yield conn


@pytest.fixture
def other(migrated: Site) -> Iterator[Connection]:
    """A second connection of the owner to `migrated`."""
    with connect(migrated.url) as conn:
        yield conn


@pytest.fixture
def watcher(migrated: Site) -> Iterator[Connection]:
    """A superuser's connection to `migrated`, to see who waits for whom."""
    with connect(migrated.admin_url) as conn:
        yield conn
