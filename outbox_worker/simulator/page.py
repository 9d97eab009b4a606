"""The page of what the stand-in holds, for a person who rehearses."""

from __future__ import annotations

import itertools
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from outbox_worker.simulator.stand_in import StandIn, now

_SHOWN = 200
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Page:
    """One page and its style sheet."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        environment = Environment(
            loader=PackageLoader("outbox_worker.simulator"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["clock"] = _clock
        self._template = environment.get_template("page.html")
        self._style = environment.get_template("page.css").render()

    def routes(self) -> list[Route]:
        """The page at the root, and its style."""
        return [
            Route("/", self._page, methods=["GET"]),
            Route("/_simulator/page.css", self._css, methods=["GET"]),
        ]

    async def _page(self, request: Request) -> Response:
        stand_in = self._stand_in
        await stand_in.journal.flushed()
        held = list(stand_in.ledger)
        text = self._template.render(
            reservations=list(itertools.islice(reversed(held), _SHOWN)),
            total=len(held),
            listings=stand_in.ledger.listings,
            counters=stand_in.traffic.counters(),
            faults=stand_in.plan.describe(),
            switches=stand_in.switches,
            recent=list(stand_in.traffic.recent),
            refreshing="still" not in request.query_params,
            now=now(),
            account=None if stand_in.account is None else stand_in.account.described(now=now()),
        )
        return HTMLResponse(text, headers=_HEADERS)

    async def _css(self, request: Request) -> Response:  # noqa: ARG002 # Starlette's signature
        return Response(self._style, headers=_HEADERS, media_type="text/css")


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"
