"""What to do about one booking: pure decisions over what is known, wanted and uncertain.

The rules were checked in virtual time against crashes and late effects; each exists because leaving
it out doubled or lost a reservation:

- an unknown write may still land until the quiet period is over, so no write leaves before that;
- while uncertain, our own record of the PMS proves nothing, nor does a read of a known reservation;
- a reservation found by look-up that differs is recorded first and changed by the *next* claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeAlias

from outbox_worker.pms.port import Parts, RemoteReservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The state that the PMS should hold.

    Args:
        cancelled: Whether the booking is cancelled; then nothing else of it matters there.
        fingerprint: Hash of the wanted state.
        listing_id, check_in, check_out, guest_email: What a hit of a look-up has to agree with.
    """

    cancelled: bool
    fingerprint: str
    listing_id: str | None
    check_in: date | None
    check_out: date | None
    guest_email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A live reservation on record; ``fingerprint`` None: its state is not known."""

    reservation_id: str
    fingerprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A write of unknown outcome.

    Args:
        until: Until then it may have been under way; aware UTC.
        quiet: How long after that it may still take effect in the PMS.
        now: The database's clock at the claim; aware UTC.
    """

    until: datetime
    quiet: timedelta
    now: datetime

    @property
    def rest(self) -> timedelta:
        """What is left of the quiet period; zero when it is over."""
        return max(self.until + self.quiet - self.now, timedelta(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """The PMS holds what it should; no call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Ask the PMS by reference, then decide again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Create the reservation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Write the full state of a known reservation."""

    reservation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Cancel a known reservation."""

    reservation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """A look-up found our reservation.

    Args:
        as_wanted: Whether it already holds the wanted state; if not, the next claim changes it.
        parts: What the look-up shows of it, part by part.
    """

    reservation_id: str
    as_wanted: bool
    parts: Parts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitQuiet:
    """Too early to write; come back after ``rest``."""

    rest: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """A person's turn.

    Args:
        message: With ``{pms}`` where the PMS's name goes.
        keep: A reservation to put on record all the same.
    """

    code: str
    message: str
    keep: str | None = None


FirstStep: TypeAlias = Nothing | LookUp | Create | Change | Cancel | AwaitQuiet
AfterLookUp: TypeAlias = Nothing | Create | Adopt | AwaitQuiet | Refuse


def first_step(
    wanted: Wanted, *, known: Known | None, doubt: Doubt | None, look_before_create: bool
) -> FirstStep:
    """What to do first for a booking that exists.

    Args:
        wanted: The state that the PMS should hold.
        known: The live reservation on record, if any.
        doubt: A write of unknown outcome, if any.
        look_before_create: Whether a look-up comes before every create (a restored backup cannot
            double then); while in doubt there is always one.
    """
    if known is not None:
        return _step_for_known(wanted, known=known, doubt=doubt)
    if doubt is not None:
        return LookUp()
    if wanted.cancelled:
        return Nothing()
    return LookUp() if look_before_create else Create()


def after_look_up(
    wanted: Wanted, hits: Sequence[RemoteReservation], *, doubt: Doubt | None
) -> AfterLookUp:
    """What a look-up by reference means; ``hits`` oldest first, all under our reference."""
    ours = [hit for hit in hits if is_ours(hit, wanted)]
    if hits and not ours:
        return Refuse(
            code="foreign_reservation",
            message="{pms} holds another stay under this booking's reference;"
            " nothing was changed there",
        )
    if len(ours) > 1:
        return Refuse(
            code="several_reservations",
            message=f"{{pms}} holds {len(ours)} reservations under this booking's reference;"
            " the oldest was kept on record, nothing was changed there",
            keep=ours[0].reservation_id,
        )
    if ours:
        hit = ours[0]
        as_wanted = (
            hit.status == "canceled" if wanted.cancelled else hit.fingerprint == wanted.fingerprint
        )
        # of a cancelled one nothing is kept: whoever revives it writes everything again
        parts = {} if wanted.cancelled else hit.parts
        return Adopt(reservation_id=hit.reservation_id, as_wanted=as_wanted, parts=parts)
    if doubt is not None and doubt.rest > timedelta(0):
        return AwaitQuiet(rest=doubt.rest)
    return Nothing() if wanted.cancelled else Create()


def is_ours(hit: RemoteReservation, wanted: Wanted) -> bool:
    """Whether a hit under our reference is the booking's own reservation.

    One that bears our mark is, whatever else it shows: nobody but our own create can have made it,
    and for this reference. (Of a hit that was read by id that has to be asked first.)
    Its dates or listing may have changed since, here or there; refused, it would wait for a person
    who can only say the same. The claim that follows brings it to the booking's state.

    Without a mark a reference proves little, as a person can enter any: then the listing has to
    agree, and the stay dates or the guest's e-mail. What the PMS left out of its answer, or what we
    cannot know (a cancelled booking whose property lost its listing), cannot disagree.
    """
    if hit.marked:
        return True
    if None not in {hit.listing_id, wanted.listing_id} and hit.listing_id != wanted.listing_id:
        return False
    same_stay = (hit.check_in, hit.check_out) == (wanted.check_in, wanted.check_out)
    same_guest = (
        hit.guest_email is not None
        and wanted.guest_email is not None
        and hit.guest_email.casefold() == wanted.guest_email.casefold()
    )
    return same_stay or same_guest


def _step_for_known(wanted: Wanted, *, known: Known, doubt: Doubt | None) -> FirstStep:
    if doubt is not None and doubt.rest > timedelta(0):
        return AwaitQuiet(rest=doubt.rest)
    # After doubt the record proves nothing, even where it agrees: the unknown write may have come
    # last. So the full state is written once more.
    if doubt is None and known.fingerprint == wanted.fingerprint:
        return Nothing()
    if wanted.cancelled:
        return Cancel(reservation_id=known.reservation_id)
    return Change(reservation_id=known.reservation_id)
