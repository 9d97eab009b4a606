"""The adapter for Guestly: its HTTP contract, and what each of its answers means.

Nothing outside this folder looks at a status code. ``docs/reference/pms-contract.md`` is the
contract in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from outbox_worker.errors import DecodeError
from outbox_worker.pms import exact_json, guestly_body
from outbox_worker.pms.exchange_answer import Content, sentence
from outbox_worker.pms.guestly_answer import Written, read, write
from outbox_worker.pms.http import Exchange, PmsHttp
from outbox_worker.pms.port import (
    Absent,
    Found,
    Further,
    ListingAnswer,
    LookupAnswer,
    Misconfigured,
    Parts,
    PmsName,
    Rejected,
    Remaining,
    Reservation,
    ReservationAnswer,
    ReservationStatus,
    Unavailable,
    WriteAnswer,
    uncounted,
)


class Guestly:
    """A `port.Pms` over Guestly's HTTP interface.

    Args:
        api_url: Its address, version path included.
        api_key: Sent as a bearer token.
        timeout: Bounds each whole call.
        connections: Calls at the same time; more of them wait.

    Raises:
        ValueError: The address or the key cannot be used in HTTP.
    """

    def __init__(self, *, api_url: str, api_key: str, timeout: timedelta, connections: int) -> None:
        self._http = PmsHttp(
            base_url=api_url,
            name=PmsName.GUESTLY.display_name,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout,
            connections=connections,
        )

    @property
    def name(self) -> PmsName:
        """Which one."""
        return PmsName.GUESTLY

    @property
    def most_calls(self) -> int:
        """A look-up and a create."""
        return 2

    def tells_enough(self, held: Parts) -> bool:
        """Always: one call writes the full state, whatever there is."""
        del held
        return True

    async def ready(self) -> None:
        """It always is: a write needs nothing but the key."""

    async def find(self, reference: str, *, further: Further = uncounted) -> LookupAnswer:
        """Reservations under our reference; see `port.Pms.find`."""
        del further
        if not reference:
            # an empty filter would list everybody's reservations
            return Rejected(code="reference_missing", message="The booking has no reference")
        exchange = await self._http.exchange(
            "GET", ("reservations",), query={"confirmationCode": reference}
        )
        answer = read(exchange, what="look-up")
        match answer:
            case Content(value=value, status=status):
                try:
                    hits = guestly_body.hits(value, reference)
                except guestly_body.UnfilteredError as error:
                    return Unavailable(
                        code="lookup_unfiltered", message=sentence(error), http_status=status
                    )
                except DecodeError as error:
                    return Unavailable(
                        code="unexpected_answer", message=sentence(error), http_status=status
                    )
                return (
                    Found(reservations=hits, http_status=status)
                    if hits
                    else Absent(http_status=status)
                )
            case Absent():
                return Misconfigured(
                    code="lookup_not_found",
                    message="Guestly has no list of reservations at this address;"
                    " check GUESTLY_API_URL",
                    http_status=answer.http_status,
                )
            case _:
                return answer

    async def reservation(self, reservation_id: str) -> ReservationAnswer:
        """One reservation by id; see `port.Pms.reservation`."""
        exchange = await self._http.exchange("GET", ("reservations", reservation_id))
        answer = read(exchange, what="reservation")
        match answer:
            case Content(value=value, status=status):
                try:
                    held = guestly_body.reservation(value)
                except DecodeError as error:
                    return Unavailable(
                        code="unexpected_answer", message=sentence(error), http_status=status
                    )
                if held.reservation_id != reservation_id:
                    return Unavailable(
                        code="other_reservation",
                        message="Guestly answered about another reservation",
                        http_status=status,
                    )
                return held
            case _:
                return answer

    async def create(self, reservation: Reservation, *, idempotency_key: str) -> WriteAnswer:
        """Create one reservation; see `port.Pms.create`."""
        exchange = await self._send(
            "POST", ("reservations",), guestly_body.payload(reservation), idempotency_key
        )
        written = Written(reference=reservation.reference, sent=reservation, reservation_id=None)
        return write(exchange, written)

    async def update(
        self,
        reservation_id: str,
        reservation: Reservation,
        *,
        held: Parts = MappingProxyType({}),
        shown: Parts | None = None,
        doubtful: bool = False,
        idempotency_key: str,
        further: Further = uncounted,
    ) -> WriteAnswer:
        """Write the full state, whatever is on record: it is one call; see `port.Pms.update`."""
        del held, shown, doubtful, further
        exchange = await self._send(
            "PUT",
            ("reservations", reservation_id),
            guestly_body.full_state(reservation),
            idempotency_key,
        )
        return write(
            exchange,
            Written(
                reference=reservation.reference, sent=reservation, reservation_id=reservation_id
            ),
        )

    async def cancel(
        self,
        reservation_id: str,
        *,
        reference: str,
        held: Parts = MappingProxyType({}),
        idempotency_key: str,
        further: Further = uncounted,
    ) -> WriteAnswer:
        """Cancel; see `port.Pms.cancel`."""
        del held, further
        exchange = await self._send(
            "PUT",
            ("reservations", reservation_id),
            {"status": ReservationStatus.CANCELED.value},
            idempotency_key,
        )
        written = Written(reference=reference, sent=None, reservation_id=reservation_id)
        return write(exchange, written)

    async def listing(self, listing_id: str) -> ListingAnswer:
        """One listing by id; see `port.Pms.listing`."""
        exchange = await self._http.exchange("GET", ("listings", listing_id))
        answer = read(exchange, what="listing")
        match answer:
            case Content(value=value, status=status):
                try:
                    return guestly_body.listing(value, listing_id)
                except DecodeError as error:
                    return Unavailable(
                        code="unexpected_answer", message=sentence(error), http_status=status
                    )
            case _:
                return answer

    def heard(self) -> tuple[Remaining, ...]:
        """Nothing: Guestly says nothing of its limits before they are reached."""
        return ()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(
        self, method: str, path: tuple[str, ...], body: Mapping[str, Any], idempotency_key: str
    ) -> Exchange:
        return await self._http.exchange(
            method,
            path,
            headers={"Content-Type": "application/json", "Idempotency-Key": idempotency_key},
            body=exact_json.encode(body).encode("ascii"),
        )
