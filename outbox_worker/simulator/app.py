"""The stand-in as one ASGI application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from outbox_worker.simulator.control import ControlApi
from outbox_worker.simulator.guestly import GuestlyApi
from outbox_worker.simulator.guesty import GuestyApi
from outbox_worker.simulator.guesty_control import GuestyControlApi
from outbox_worker.simulator.journal_lines import StorageError
from outbox_worker.simulator.page import Page
from outbox_worker.simulator.refusal import refusal
from outbox_worker.simulator.reservation import RequestRefusedError
from outbox_worker.simulator.stand_in import StandIn
from outbox_worker.simulator.strike import STORAGE_FAILED


def application(stand_in: StandIn) -> Starlette:
    """The PMS's API, the control API and the page over one stand-in."""
    account = stand_in.account
    return Starlette(
        routes=[
            *(
                GuestlyApi(stand_in).routes()
                if account is None
                else (
                    *GuestyApi(stand_in, account).routes(),
                    *GuestyControlApi(stand_in, account).routes(),
                )
            ),
            *ControlApi(stand_in).routes(),
            *Page(stand_in).routes(),
        ],
        exception_handlers={
            HTTPException: _unknown,
            RequestRefusedError: _refused,
            StorageError: _failed,
        },
    )


async def _unknown(request: Request, error: Exception) -> Response:  # noqa: ARG001 # Starlette's signature
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = "METHOD_NOT_ALLOWED" if status == 405 else "NOT_FOUND"  # noqa: PLR2004 # HTTP
    return refusal(status, code, "the API has no such call").response()


async def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 # Starlette's signature
    if not isinstance(error, RequestRefusedError):
        raise error
    return refusal(error.status, error.code, str(error)).response()


async def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001 # Starlette's signature
    return refusal(500, STORAGE_FAILED, str(error)).response()
