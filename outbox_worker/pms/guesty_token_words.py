"""What callers are told when there is no token for them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from outbox_worker.gate.token_state import NO_TOKEN
from outbox_worker.pms.port import Misconfigured, Unavailable
from outbox_worker.settings_catalogue import KEPT_IN

CREDENTIALS_REFUSED = "credentials_refused"
TOKEN_ADDRESS = "token_address"  # noqa: S105 - a code, no secret
QUOTA_SPENT = "token_quota"
TOKEN_LIMITED = "token_limited"  # noqa: S105 - a code, no secret
PERMISSION_REFUSED = "permission_refused"

#: What each refusal of our access is, in words that follow the name of the PMS.
REFUSES: Mapping[str, str] = MappingProxyType(
    {
        CREDENTIALS_REFUSED: "refuses our client id or secret",
        QUOTA_SPENT: "grants no more access tokens for now",
        TOKEN_ADDRESS: "has no token endpoint at our address",
        PERMISSION_REFUSED: "refuses our API client a permission",
    }
)
#: The same in words that begin a sentence or follow "it is held: ".
REFUSED_ACCESS: Mapping[str, str] = MappingProxyType(
    {code: f"Guesty {words}" for code, words in REFUSES.items()}
)


def failed(
    code: str, *, wait: timedelta, http_status: int | None = None
) -> Unavailable | Misconfigured:
    """What callers are told while a request that failed is not repeated.

    Whatever it failed of, a 429 as well: no booking is at fault, and none can be sent.

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
                f" GUESTY_CLIENT_SECRET {KEPT_IN} and restart the worker. If they are right by now:"
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
        case _:
            minutes = math.ceil(wait / timedelta(minutes=1))
            then = f"in {minutes} min, or after: outbox resume guestly" if minutes else "at once"
            return Unavailable(
                code=NO_TOKEN,
                message=f"Guesty gave no access token ({code}); the next one is requested {then}",
                outage=True,
                unasked=True,
                rest=max(timedelta(0), wait),
                http_status=http_status,
            )


def quota_spent(count: int, next_at: datetime) -> Misconfigured:
    """The day's requests are spent; the next one is possible at ``next_at``, aware UTC."""
    return Misconfigured(
        code=QUOTA_SPENT,
        message=f"{count} access tokens were requested within 24 hours, all that Guesty gives;"
        f" the next one is possible at {next_at:%Y-%m-%d %H:%M} UTC",
        everybodys=True,
    )


def forbidden(http_status: int) -> Misconfigured:
    """The API refused a token that is too new to have ended."""
    return Misconfigured(
        code=PERMISSION_REFUSED,
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
        code=NO_TOKEN,
        message="Another worker requests an access token, and it is not there yet",
        unasked=True,
    )


def ended_before() -> Unavailable:
    """The token that was in hand has ended right before the call, or Postgres is slow to tell.

    An attempt: it shuts no gate, so nobody would be told of one that comes again and again.
    """
    return Unavailable(code=NO_TOKEN, message="The access token ended right before the call")


def unreadable(error: Exception) -> Unavailable:
    """Postgres does not tell. That shuts no gate, so it is an attempt: else nobody would be told.

    Where Postgres refuses to write the token's row, it refuses to write the gate as well.
    """
    return Unavailable(
        code=NO_TOKEN,
        message=f"The access token could not be read from Postgres ({type(error).__name__})",
    )
