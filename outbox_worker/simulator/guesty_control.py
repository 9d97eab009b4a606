"""What a rehearsal of the Guesty API may do to its tokens, under ``/_simulator/tokens``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from outbox_worker.simulator.body import parsed, read
from outbox_worker.simulator.guesty_account import Account
from outbox_worker.simulator.stand_in import StandIn, now


class GuestyControlApi:
    """The control calls that only the Guesty API has."""

    def __init__(self, stand_in: StandIn, account: Account) -> None:
        self._stand_in = stand_in
        self._account = account

    def routes(self) -> list[Route]:
        """The routes."""
        root = "/_simulator/tokens"
        return [
            Route(root, self._tokens, methods=["GET", "DELETE"]),
            Route(f"{root}/quota", self._quota, methods=["POST"]),
        ]

    async def _tokens(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._account.desk.revoke_all()
            self._stand_in.keep_tokens(self._account)
        return self._counted()

    async def _quota(self, request: Request) -> Response:
        # the media type is what keeps other web pages from sending this
        parsed(request, await read(request))
        self._account.desk.forget_requests()
        self._stand_in.keep_tokens(self._account)
        return self._counted()

    def _counted(self) -> Response:
        account = self._account
        return JSONResponse(account.desk.counted(switches=account.switches, now=now()))
