"""The adapter for Guesty: its API of reservations, version 3, and what each answer means.

Guesty creates a reservation in one call and has a call of its own for each thing that can be
changed later. So `Guesty.update` writes one part of a reservation a time, and says with
`port.Held.more` whether another is left; what is written is put on record in between.

Nothing outside this folder looks at a status code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, assert_never

from outbox_worker.errors import DecodeError
from outbox_worker.pms import guesty_body, guesty_parts, guesty_shown
from outbox_worker.pms.exchange_answer import Content, sentence
from outbox_worker.pms.guesty_answer import Accepted, Written
from outbox_worker.pms.guesty_call import GuestyCalls, WriteOutcome
from outbox_worker.pms.guesty_parts import Complete, Fixed, Part, Write
from outbox_worker.pms.guesty_token import TokenSource
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Found,
    Further,
    Held,
    ListingAnswer,
    LookupAnswer,
    Misconfigured,
    Parts,
    PmsName,
    RateLimited,
    ReadFailure,
    Rejected,
    Remaining,
    RemoteReservation,
    Reservation,
    ReservationAnswer,
    ReservationStatus,
    Unavailable,
    WriteAnswer,
    uncounted,
)


class Guesty:
    """A `port.Pms` over Guesty's Open API.

    Args:
        api_url: Its address, without the version.
        tokens: Where each call gets its token.
        timeout: Bounds each whole call, without the time that a token takes.
        connections: Calls at the same time; more of them wait.

    Raises:
        ValueError: The address cannot be used in HTTP.
    """

    def __init__(
        self, *, api_url: str, tokens: TokenSource, timeout: timedelta, connections: int
    ) -> None:
        self._calls = GuestyCalls(
            api_url=api_url, tokens=tokens, timeout=timeout, connections=connections
        )

    @property
    def name(self) -> PmsName:
        """Which one."""
        return PmsName.GUESTY

    @property
    def most_calls(self) -> int:
        """A look at what it holds, a change, and a look at what its refusal is worth."""
        return 3

    def heard(self) -> tuple[Remaining, ...]:
        """What answers have said of the rate limit since this was asked last.

        Returns:
            For each window the least that was left, the shortest window first; empty: nothing.
        """
        return self._calls.heard()

    def tells_enough(self, held: Parts) -> bool:
        """Only if it tells all that a read shows: written again, these may change the price.

        What a read hides is written once, and on record from then on.
        """
        return held.keys() >= guesty_parts.SHOWN

    async def ready(self) -> ReadFailure | None:
        """See to the token; see `port.Pms.ready`."""
        return await self._calls.ready()

    async def find(self, reference: str, *, further: Further = uncounted) -> LookupAnswer:
        """Reservations under our reference; see `port.Pms.find`.

        A search does not show the guests, and to write them again would change the price: so one
        hit alone is read by its id as well, for its parts, and for the ``originId`` that tells our
        own reservation even when the booking's dates have changed since.
        """
        if (refused := guesty_body.unusable(reference)) is not None:
            return refused
        answer = await self._calls.read(
            ("reservations-v3", "search"),
            query={"filter[confirmationCode]": reference},
            what="look-up",
        )
        match answer:
            case Content(value=value, status=status):
                try:
                    hits = guesty_shown.hits(value, reference)
                except guesty_shown.UnfilteredError as error:
                    return _unexpected(error, status, code="lookup_unfiltered")
                except DecodeError as error:
                    return _unexpected(error, status)
                if not hits:
                    return Absent(http_status=status)
                found = Found(reservations=hits, http_status=status)
                return found if len(hits) > 1 else await self._in_parts(found, further)
            case Absent():
                return Misconfigured(
                    code="lookup_not_found",
                    message="Guesty has no search for reservations at this address;"
                    " check GUESTY_API_URL",
                    http_status=answer.http_status,
                )
            case _:
                return answer

    async def reservation(self, reservation_id: str) -> ReservationAnswer:
        """One reservation by id; see `port.Pms.reservation`."""
        answer = await self._calls.read(
            ("reservations-v3",), query={"reservationIds[0]": reservation_id}, what="reservation"
        )
        match answer:
            case Content(value=value, status=status):
                try:
                    shown = guesty_shown.by_id(value, reservation_id)
                except DecodeError as error:
                    return _unexpected(error, status)
                return Absent(http_status=status) if shown is None else shown
            case _:
                return answer

    async def create(self, reservation: Reservation, *, idempotency_key: str) -> WriteAnswer:
        """Create one reservation, without its notes; see `port.Pms.create`.

        Guesty knows no idempotency key: a second create is a second reservation, unless the
        calendar refuses it.
        """
        del idempotency_key
        if (refused := guesty_body.unusable(reservation.reference)) is not None:
            return refused
        written = Written(reference=reservation.reference, sent=reservation, reservation_id=None)
        answer = await self._calls.write(
            "POST", ("reservations-v3",), guesty_body.creation(reservation), written
        )
        match answer:
            case Accepted():
                target = guesty_parts.wanted(reservation)
                parts = guesty_parts.after_create(target, notes=reservation.notes)
                if answer.status is not None:
                    parts[Part.STATUS.value] = guesty_parts.status(answer.status)
                return _held(answer, parts, target, existed=False)
            case _:
                return answer

    async def update(
        self,
        reservation_id: str,
        reservation: Reservation,
        *,
        held: Parts,
        shown: Parts | None,
        doubtful: bool = False,
        idempotency_key: str,
        further: Further = uncounted,
    ) -> WriteAnswer:
        """Write the next part that differs; see `port.Pms.update`.

        Listing, dates, guests, status and notes can be written, in this order. What the guest paid
        and who the guest is cannot: where only these are left and are known to differ, nothing is
        sent, and `Unsupported` says what to do by hand. Guesty sets its own price after a change of
        listing, dates or guests (`port.Held.repriced`), so that the fare is not known any more.
        Where a read shows that somebody else or an unknown write has done so, that is put on record
        by itself: whatever became of another call, or if no call is left, it would not be told.

        A write that Guesty refuses is no failure if a read shows that it holds just that.
        """
        del idempotency_key
        target = guesty_parts.wanted(reservation)
        record: Parts = (
            guesty_parts.seen(held, shown or {}, target)
            if doubtful
            else guesty_parts.completed(held, shown or {})
        )
        step = guesty_parts.next_step(record, target)
        lost = Part.FARE in held and Part.FARE not in record  # an unknown write may have set it
        if lost or isinstance(step, Complete):
            return Held(
                reservation_id=reservation_id,
                existed=True,
                parts=dict(record),
                more=not isinstance(step, Complete),
                repriced=lost,
            )
        match step:
            case Fixed(parts=fixed):
                return guesty_parts.by_hand(fixed, reservation_id, reservation)
            case Write(part=part):
                pass
            case _:
                assert_never(step)
        segment, body = guesty_body.change(part, reservation)
        written = Written(
            reference=reservation.reference, sent=reservation, reservation_id=reservation_id
        )
        answer = await self._change(
            segment, body, written, part=part, wanted=target[part], further=further
        )
        match answer:
            case Accepted():
                parts = guesty_parts.after_write(record, part, target)
                repriced = part in guesty_parts.REPRICING
                return _held(answer, parts, target, existed=True, repriced=repriced)
            case _:
                return answer

    async def cancel(
        self,
        reservation_id: str,
        *,
        reference: str,
        held: Parts = MappingProxyType({}),
        idempotency_key: str,
        further: Further = uncounted,
    ) -> WriteAnswer:
        """Cancel; see `port.Pms.cancel`. Refused but cancelled already, as a read shows: done."""
        del idempotency_key
        canceled = guesty_parts.status(ReservationStatus.CANCELED.value)
        written = Written(reference=reference, sent=None, reservation_id=reservation_id)
        answer = await self._change(
            "status",
            guesty_body.cancellation(),
            written,
            part=Part.STATUS,
            wanted=canceled,
            further=further,
        )
        match answer:
            case Accepted():
                return Held(
                    reservation_id=reservation_id,
                    existed=True,
                    parts=guesty_parts.after_cancel(held),
                    http_status=answer.http_status,
                )
            case _:
                return answer

    async def listing(self, listing_id: str) -> ListingAnswer:
        """One listing by id; see `port.Pms.listing`."""
        answer = await self._calls.read(("listings", listing_id), query={}, what="listing")
        match answer:
            case Content(value=value, status=status):
                try:
                    return guesty_shown.listing(value, listing_id)
                except DecodeError as error:
                    return _unexpected(error, status)
            case _:
                return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._calls.aclose()

    async def _in_parts(
        self, found: Found, further: Further
    ) -> Found | RateLimited | Unavailable | Misconfigured:
        """The one hit with all the parts that a read by its id shows."""
        (hit,) = found.reservations
        if Part.GUESTS in hit.parts:
            return found
        further()
        shown = await self.reservation(hit.reservation_id)
        match shown:
            case RemoteReservation() if shown.reference == hit.reference:
                parts = {**hit.parts, **shown.parts}
                whole = replace(hit, parts=parts, marked=hit.marked or shown.marked)
                return replace(found, reservations=(whole,))
            case RateLimited() | Unavailable() | Misconfigured():
                return shown
            case _:
                return found

    async def _change(
        self,
        segment: str,
        body: Mapping[str, Any],
        written: Written,
        *,
        part: Part,
        wanted: str,
        further: Further,
    ) -> WriteOutcome:
        """Write one part, and ask a read what a refusal or a "not found" is worth.

        What a read shows as wanted has been written. Guesty asks for up to 60 seconds between
        requests about a new reservation: one that it does not find, and yet shows, is there.
        """
        reservation_id = written.reservation_id or ""
        answer = await self._calls.write(
            "PUT", ("reservations-v3", reservation_id, segment), body, written
        )
        if not isinstance(answer, Rejected | Absent):
            return answer
        further()
        shown = await self.reservation(reservation_id)
        match shown:
            case RemoteReservation(parts=parts) if parts.get(part) == wanted:
                return Accepted(
                    reservation_id=reservation_id,
                    status=shown.status,
                    http_status=answer.http_status,
                )
            case RateLimited() | Misconfigured() | Unavailable(outage=True):
                return shown  # asked again later: nothing has been written
            case Absent():
                return answer
            case _ if isinstance(answer, Rejected):
                return answer
            case Unavailable():
                return shown
            case _:
                # the quiet period is what it asks for; sooner it would only say the same
                return Ambiguous(
                    code="not_settled_yet",
                    message="Guesty does not find the reservation for a change, and shows it",
                    http_status=answer.http_status,
                )


def _held(
    answer: Accepted,
    parts: Mapping[str, str],
    target: Parts,
    *,
    existed: bool,
    repriced: bool = False,
) -> Held:
    return Held(
        reservation_id=answer.reservation_id,
        existed=existed,
        parts=parts,
        more=not isinstance(guesty_parts.next_step(parts, target), Complete),
        repriced=repriced,
        http_status=answer.http_status,
    )


def _unexpected(error: DecodeError, status: int, *, code: str = "unexpected_answer") -> Unavailable:
    return Unavailable(code=code, message=sentence(error), http_status=status)
