"""Request bodies: bounded, and JSON with exact numbers."""

from __future__ import annotations

import json
from decimal import Decimal

from starlette.requests import Request

from outbox_worker.simulator.reservation import RequestRefusedError

_LARGEST_BODY = 1 << 20


async def read(request: Request) -> bytes:
    """The whole body.

    Raises:
        RequestRefusedError: 413; it is larger than 1 MiB.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise RequestRefusedError(413, "BODY_TOO_LARGE", "the body is too large")
    return bytes(body)


def parsed(request: Request, body: bytes) -> object:
    """The body's JSON; numbers with a point become Decimals.

    Raises:
        RequestRefusedError: 415 for another media type than JSON, 400 for a body that is none.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestRefusedError(415, "UNSUPPORTED_MEDIA_TYPE", "send application/json")
    try:
        value: object = json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RequestRefusedError(400, "INVALID_JSON", "the body is not JSON") from error
    return value


def _no_constant(name: str) -> object:
    raise ValueError(name)
