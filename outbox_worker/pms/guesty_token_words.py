"""What callers are told when there is no token for them. Pure."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from outbox_worker.pms.port import Misconfigured, RateLimited, Unavailable

CREDENTIALS_REFUSED = "credentials_refused"
TOKEN_ADDRESS = "token_address"  # noqa: S105 - a code, no secret
TOKEN_LIMITED = "token_limited"  # noqa: S105 - a code, no secret

_UNAVAILABLE = "token_unavailable"
_LONGEST_RETRY = timedelta(hours=1)


def failed(
    code: str, *, wait: timedelta, http_status: int | None = None
) -> RateLimited | Unavailable | Misconfigured:
    """What callers are told while a request that failed is not repeated.

    Args:
        code: How it failed.
        wait: How long that is.
        http_status: Of the answer, if this caller's own request had one.
    """
    match code:
        case "credentials_refused":
            return Misconfigured(
                code=CREDENTIALS_REFUSED,
                message="Guesty refused the client id or secret; correct GUESTY_CLIENT_ID and"
                " GUESTY_CLIENT_SECRET and restart the worker. If they are right by now:"
                " outbox resume guestly",
                everybodys=True,
                http_status=http_status,
            )
        case "token_address":
            return Misconfigured(
                code=TOKEN_ADDRESS,
                message="Guesty's token endpoint is not at this address; check GUESTY_API_URL",
                everybodys=True,
                http_status=http_status,
            )
        case "token_limited":
            return RateLimited(
                retry_after=max(timedelta(0), min(wait, _LONGEST_RETRY)), http_status=http_status
            )
        case _:
            minutes = math.ceil(wait / timedelta(minutes=1))
            then = f"in {minutes} min, or after: outbox resume guestly" if minutes else "at once"
            return Unavailable(
                code=_UNAVAILABLE,
                message=f"Guesty gave no access token ({code}); the next one is requested {then}",
                outage=True,
                http_status=http_status,
            )


def quota_spent(count: int, next_at: datetime) -> Misconfigured:
    """The day's requests are spent; the next one is possible at ``next_at``, aware UTC."""
    return Misconfigured(
        code="token_quota",
        message=f"{count} access tokens were requested within 24 hours, all that Guesty gives;"
        f" the next one is possible at {next_at:%Y-%m-%d %H:%M} UTC",
        everybodys=True,
    )


def forbidden(http_status: int) -> Misconfigured:
    """The API refused a token that is too new to have ended."""
    return Misconfigured(
        code="permission_refused",
        message=f"Guesty refuses access (HTTP {http_status}) although the access token is new;"
        " the API client lacks a permission",
        everybodys=True,
        http_status=http_status,
    )


def ended(http_status: int) -> Unavailable:
    """The API refused a token that has ended."""
    return Unavailable(
        code="token_expired",
        message=f"The access token had ended (HTTP {http_status}); the next call has another",
        http_status=http_status,
    )


def not_there_yet() -> Unavailable:
    """Somebody else requests one, and that takes too long for this call."""
    return Unavailable(
        code=_UNAVAILABLE,
        message="Another worker requests an access token, and it is not there yet",
    )


def unreadable(error: Exception) -> Unavailable:
    """Postgres does not tell."""
    return Unavailable(
        code=_UNAVAILABLE,
        message=f"The access token could not be read from Postgres ({type(error).__name__})",
    )
