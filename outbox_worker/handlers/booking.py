"""(guestly, <booking id>): the PMS should hold this booking as it is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never
from uuid import UUID

from outbox_worker.bookings import store
from outbox_worker.bookings.booking import Booking, BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.bookings.visibility import blinded_tables
from outbox_worker.database import Connection
from outbox_worker.errors import MappingError, SchemaError
from outbox_worker.events import Event
from outbox_worker.handlers import decide, price, results
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.handlers.results import Job, SyncRules
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination
from outbox_worker.outbox.outcome import (
    AttemptOutcome,
    Done,
    Park,
    Retry,
    Wait,
)
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.pms import mapping
from outbox_worker.pms.port import (
    Absent,
    Found,
    Held,
    Misconfigured,
    Mode,
    Parts,
    Pms,
    PmsName,
    RateLimited,
    Rejected,
    RemoteReservation,
    Reservation,
    Unavailable,
)
from outbox_worker.telemetry import logger

#: Reservation id of a booking that only test mode has handled.
TEST_RESERVATION_ID = "test-reservation-id"


class BookingHandler:
    """Creates, changes, cancels or adopts a reservation, one network write per claim.

    Args:
        pms: The adapter; None in test mode, where there is no network.
        pms_name: Which PMS the reservations belong to.
        policy: Attempts and waits.
        rules: See `SyncRules`.
    """

    def __init__(
        self, pms: Pms | None, *, pms_name: PmsName, policy: RetryPolicy, rules: SyncRules
    ) -> None:
        self._pms = pms
        self._name = pms_name
        self._policy = policy
        self._rules = rules

    @property
    def destination(self) -> Destination:
        """Bookings are owed to the PMS, whichever adapter speaks to it."""
        return Destination.GUESTLY

    @property
    def policy(self) -> RetryPolicy:
        """The seed's numbers by default: three attempts, one and two seconds apart."""
        return self._policy

    async def load(
        self, conn: Connection, claims: Sequence[Claim]
    ) -> Mapping[DeliveryId, SyncView]:
        """Read booking, listing and reservation of every claim.

        Raises:
            SchemaError: Row level security hides bookings from our role: every one would look
                deleted, and a deleted booking is never sent.
        """
        ids = {claim.id: _uuid(claim.key) for claim in claims}
        views = await store.read_for_sync(
            conn, [key for key in ids.values() if key is not None], pms=self._name
        )
        if any(view.booking is None and view.fault is None for view in views.values()):
            blinded = await blinded_tables(conn)
            if blinded:
                raise SchemaError(
                    f"row level security hides rows of {', '.join(blinded)} from this role",
                    hint="Connect as a role with BYPASSRLS or a policy (deploy/grants.sql).",
                )
        missing = SyncView(
            booking=None, fault="the key is not a booking id", listing_id=None,
            reservation=None, reservations=0,
        )  # fmt: skip
        return {delivery: missing if key is None else views[key] for delivery, key in ids.items()}

    def failed(self, claim: Claim, retry: Retry) -> Result:
        """An attempt that ended without an answer of `run`: crashed, cut off, or lost."""
        return results.unseen(claim, retry, pms=self._name, booking_id=_uuid(claim.key))

    async def run(self, claim: Claim, state: SyncView, deadline: Deadline) -> Result:
        """One attempt: decide, call, and answer with what became of it."""
        if state.fault is not None:
            park = Park(code="booking_unreadable", message=state.fault)
            return results.parked(claim, _uuid(claim.key), park, pms=self._name)
        if state.booking is None:
            return self._gone(claim, state)
        try:
            job = self._job(claim, state.booking, state, deadline)
        except MappingError as error:
            fault = f"{error} (field {error.field})"
            park = Park(code=error.code, message=fault)
            return results.parked(claim, state.booking.id, park, pms=self._name)
        if self._rules.test_mode or self._pms is None:
            return self._tested(job)
        return await self._first(job, self._pms)

    def _job(self, claim: Claim, booking: Booking, view: SyncView, deadline: Deadline) -> Job:
        cancelled = booking.status is BookingStatus.CANCELLED
        reservation: Reservation | None = None
        if cancelled:
            # cancelling needs the reservation alone: a booking that could not be mapped any more
            # can still be cancelled
            fingerprint = mapping.cancelled_fingerprint(booking.reference)
        else:
            mapped = mapping.to_reservation(
                booking, listing_id=view.listing_id, pms=self._name, currency=self._rules.currency
            )
            for warning in mapped.warnings:
                logger().warning(Event.BOOKING_WARNED, message=warning, booking_id=str(booking.id))
            reservation = mapped.reservation
            fingerprint = mapping.fingerprint(reservation)
        return Job(
            pms=self._name,
            rules=self._rules,
            claim=claim,
            booking=booking,
            view=view,
            reservation=reservation,
            wanted=decide.Wanted(
                cancelled=cancelled,
                fingerprint=fingerprint,
                listing_id=view.listing_id,
                check_in=booking.check_in,
                check_out=booking.check_out,
                guest_email=booking.email,
            ),
            doubt=None
            if claim.uncertain_at is None
            else decide.Doubt(until=claim.uncertain_at, quiet=self._rules.quiet, now=claim.seen_at),
            deadline=deadline,
        )

    def _gone(self, claim: Claim, view: SyncView) -> Result:
        live = view.reservation is not None and not view.reservation.test
        if live or claim.uncertain_at is not None:
            park = Park(
                code="booking_gone",
                message="the booking was deleted from the site while"
                f" {self._name.display_name} holds, or may hold, its reservation",
            )
            return results.parked(claim, None, park, pms=self._name)
        return Result(outcome=Done(record=AttemptOutcome.NOTHING))

    def _tested(self, job: Job) -> Result:
        known = job.view.reservation
        if (known is not None and not known.test) or job.doubt is not None:
            wait = Wait(
                due_in=results.RECHECK,
                code="held_in_test_mode",
                message=f"{job.pms.display_name} holds a live reservation; test mode leaves it"
                " alone",
            )
            return Result(outcome=wait, booking_id=job.booking.id)
        if job.wanted.cancelled:
            return Result(outcome=Done(record=AttemptOutcome.NOTHING), booking_id=job.booking.id)
        logger().info(
            Event.BOOKING_TESTED,
            message=f"TEST MODE: would send booking {job.booking.id} to {job.pms.display_name};"
            " nothing was sent",
            booking_id=str(job.booking.id),
            booking_reference=job.booking.reference,
            listing_id=job.wanted.listing_id,
            check_in=str(job.wanted.check_in),
            check_out=str(job.wanted.check_out),
        )
        return results.held(
            job, TEST_RESERVATION_ID, mode=Mode.TEST, record=AttemptOutcome.TEST, http_status=None
        )

    async def _first(self, job: Job, pms: Pms) -> Result:
        if job.view.elsewhere is not None:
            return results.held_elsewhere(job, job.view.elsewhere)
        known = job.view.reservation
        step = decide.first_step(
            job.wanted,
            known=None
            if known is None or known.test
            else decide.Known(reservation_id=known.reservation_id, fingerprint=known.fingerprint),
            doubt=job.doubt,
            look_before_create=self._rules.look_before_create,
        )
        match step:
            case decide.Nothing():
                return Result(
                    outcome=Done(record=AttemptOutcome.NOTHING),
                    booking_id=job.booking.id,
                    # cancelled without a call of ours, as a person has found
                    effects=price.after_cancel(job) if job.wanted.cancelled else (),
                )
            case decide.LookUp():
                return await self._look_up(job, pms)
            case decide.Create():
                return await self._create(job, pms)
            case decide.Change(reservation_id=reservation_id):
                return await self._change(job, pms, reservation_id)
            case decide.Cancel(reservation_id=reservation_id):
                return await self._cancel(job, pms, reservation_id)
            case decide.AwaitQuiet(rest=rest):
                return results.quiet(job, rest, http_status=None)
            case _:
                assert_never(step)

    async def _look_up(self, job: Job, pms: Pms) -> Result:
        job.deadline.reads()
        answer = await pms.find(job.booking.reference, further=job.deadline.reads)
        match answer:
            case Found(reservations=hits):
                pass
            case Absent():
                hits = ()
            case RateLimited() | Unavailable() | Rejected() | Misconfigured():
                return results.told_if_doubtful(job, results.failed(job, answer))
            case _:
                assert_never(answer)
        step = decide.after_look_up(job.wanted, hits, doubt=job.doubt)
        match step:
            case decide.Nothing():
                done = Done(record=AttemptOutcome.NOTHING, http_status=answer.http_status)
                return Result(outcome=done, booking_id=job.booking.id)
            case decide.Create():
                return await self._create(job, pms)
            case decide.Adopt(reservation_id=reservation_id, as_wanted=as_wanted, parts=parts):
                if parts:
                    # shown part by part, without what the create alone has written
                    logger().warning(
                        Event.BOOKING_WARNED,
                        message=f"{job.pms.display_name} was seen to hold it: compare the price and"
                        " the guest there with what was paid",
                        booking_id=str(job.booking.id),
                    )
                return results.adopted(job, reservation_id, as_wanted=as_wanted, parts=parts)
            case decide.AwaitQuiet(rest=rest):
                return results.quiet(job, rest, http_status=answer.http_status)
            case decide.Refuse(code=code, message=message, keep=keep):
                said = message.format(pms=job.pms.display_name)
                park = Park(code=code, message=said, http_status=answer.http_status)
                kept = () if keep is None else (results.reservation(job, keep, fingerprint=None),)
                return results.parked(job.claim, job.booking.id, park, pms=job.pms, also=kept)
            case _:
                assert_never(step)

    async def _create(self, job: Job, pms: Pms) -> Result:
        if job.reservation is None:
            raise AssertionError("a cancelled booking is never created")
        if (unready := await pms.ready()) is not None:
            return results.failed(job, unready)
        if not job.deadline.allows(self._rules.timeout):
            return results.abandoned(job)
        key = mapping.idempotency_key_create(job.booking.id, job.view.reservations)
        answer = await pms.create(job.reservation, idempotency_key=key)
        match answer:
            case Held(reservation_id=reservation_id, fingerprint=shown):
                if shown is not None and shown != job.wanted.fingerprint:
                    # a PMS that honours the key has repeated its answer to an older version
                    return results.adopted(job, reservation_id, as_wanted=False)
                return self._written(job, answer)
            case Absent():
                # an adapter that answers so to a create has lost its address
                return results.failed(
                    job,
                    Misconfigured(
                        code="create_absent", message=f"no such address in {job.pms.display_name}"
                    ),
                )
            case Rejected(dates_taken=True) if job.doubt is not None:
                # usually our own first write, which the look-up could not see yet
                retry = Retry(
                    code=answer.code, message=answer.message, http_status=answer.http_status
                )
                return results.retried(job, retry)
            case _:
                return results.failed(job, answer, creating=True)

    async def _change(self, job: Job, pms: Pms, reservation_id: str) -> Result:
        if job.reservation is None:
            raise AssertionError("a cancelled booking is cancelled, not changed")
        known = job.view.reservation
        held: Parts = {} if known is None else known.parts
        shown: Parts | None = None
        if not pms.tells_enough({} if job.doubt is not None else held):
            # Written again, what is there already may change more than itself, as the price.
            # Nothing is under way any more: what a read shows now is what there is.
            job.deadline.reads()
            seen = await pms.reservation(reservation_id)
            match seen:
                case RemoteReservation(parts=shown):
                    pass
                case Absent():
                    return results.gone(job, seen)
                case _:
                    return results.told_if_doubtful(job, results.failed(job, seen))
        if (unready := await pms.ready()) is not None:
            return results.failed(job, unready)
        if not job.deadline.allows(self._rules.timeout):
            return results.abandoned(job)
        key = mapping.idempotency_key_change(
            reservation_id, job.wanted.fingerprint, version=job.claim.version
        )
        answer = await pms.update(
            reservation_id,
            job.reservation,
            held=held,
            shown=shown,
            doubtful=job.doubt is not None,
            idempotency_key=key,
            further=job.deadline.reads,
        )
        match answer:
            case Held():
                return self._written(job, answer)
            case Absent():
                return results.gone(job, answer)
            case _:
                return results.failed(job, answer)

    def _written(self, job: Job, answer: Held) -> Result:
        if answer.repriced:
            logger().warning(
                Event.BOOKING_WARNED,
                message=f"{job.pms.display_name} sets the price of a changed stay itself:"
                " compare it with what was paid",
                booking_id=str(job.booking.id),
            )
        if answer.more:
            result = results.partly_held(job, answer)
        else:
            result = results.held(
                job, answer.reservation_id, parts=answer.parts, http_status=answer.http_status
            )
        return replace(result, effects=(*result.effects, *price.after_write(job, answer)))

    async def _cancel(self, job: Job, pms: Pms, reservation_id: str) -> Result:
        if (unready := await pms.ready()) is not None:
            return results.failed(job, unready)
        if not job.deadline.allows(self._rules.timeout):
            return results.abandoned(job)
        key = mapping.idempotency_key_change(
            reservation_id, job.wanted.fingerprint, version=job.claim.version
        )
        known = job.view.reservation
        answer = await pms.cancel(
            reservation_id,
            reference=job.booking.reference,
            held={} if known is None else known.parts,
            idempotency_key=key,
            further=job.deadline.reads,
        )
        match answer:
            case Held() | Absent():
                parts = answer.parts if isinstance(answer, Held) else results.NO_PARTS
                result = results.held(
                    job, reservation_id, parts=parts, http_status=answer.http_status
                )
                return replace(result, effects=(*result.effects, *price.after_cancel(job)))
            case _:
                return results.failed(job, answer)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
