"""What the fleet knows of its access token. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

#: Error code of what waits as no access token can be had.
NO_TOKEN = "token_unavailable"  # noqa: S105 - a code, no secret
#: How a request that has not ended is on record.
UNFINISHED = "unfinished"
_PORTS: Mapping[str, int] = MappingProxyType({"http": 80, "https": 443})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose token it is, as hashes.

    Args:
        client: Of address and client id: requests are counted for it.
        credentials: Of these and the secret: a token is used by whoever has the same.
    """

    client: str
    credentials: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A token was requested.

    Args:
        at: By the database's clock, before it was sent; aware UTC.
        client: See `Identity`.
    """

    at: datetime
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """The token's row.

    Args:
        value: Secret; None: there is none, empty: there is one, and it was not read.
        serial: Which token; 0: there was none yet.
        since: When it was requested.
        expires_at: Its end.
        refused: Whether the API has refused it since.
        forbidden: Whether it did so when it was new.
        credentials: Whose it is; see `Identity`.
        requests: Of late, oldest first.
        failing: Whose requests failed; see `Identity.credentials`.
        failures: How many of them in a row.
        code: How the last one ended; None: with a token.
        not_before: None is requested before.
        now: The database's clock when it was read, aware UTC.
    """

    value: str | None = field(repr=False)
    serial: int
    since: datetime | None
    expires_at: datetime | None
    refused: bool
    forbidden: bool
    credentials: str | None
    requests: tuple[Request, ...]
    failing: str | None
    failures: int
    code: str | None
    not_before: datetime | None
    now: datetime

    @property
    def last_request(self) -> datetime | None:
        """When anybody last requested one."""
        return self.requests[-1].at if self.requests else None


def identity(*, api_url: str, client_id: str, client_secret: str) -> Identity:
    """Hashes of what a token is requested with; another address is another identity."""
    client = (_spelt_one_way(api_url), client_id)
    return Identity(client=_hash(*client), credentials=_hash(*client, client_secret))


def _spelt_one_way(address: str) -> str:
    """The address as RFC 3986 normalises it: requests to one server have one quota.

    Capital letters of scheme and host, the port that is the scheme's own, and slashes at the end
    make no other server. An address as settings are usually written stays as it is, and so does its
    hash, which is on record.
    """
    try:
        parts = urlsplit(address.rstrip("/"))
        port = parts.port
    except ValueError:
        return address  # whoever connects says what is wrong
    login, at, _ = parts.netloc.rpartition("@")
    host = (parts.hostname or "").removesuffix(".")
    host = f"[{host}]" if ":" in host else host
    shown = "" if port in {None, _PORTS.get(parts.scheme)} else f":{port}"
    return urlunsplit(parts._replace(netloc=f"{login}{at}{host}{shown}"))


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
