"""Questions to the PMS by a person: answers as values, anything else as an error."""

from __future__ import annotations

from typing import Protocol, assert_never

from outbox_worker.alerts.words_access import ACCESS
from outbox_worker.errors import OutboxError, PmsUnansweredError, SettingsError
from outbox_worker.pms.port import (
    Absent,
    Found,
    Further,
    ListingAnswer,
    LookupAnswer,
    Misconfigured,
    PmsName,
    RateLimited,
    ReadFailure,
    Rejected,
    RemoteReservation,
    ReservationAnswer,
    Unavailable,
    uncounted,
)
from outbox_worker.settings import NEEDED_TO_CALL

#: Refusals of our access that no setting mends.
_NO_SETTING = frozenset({"token_quota", "permission_refused"})
#: Those that come of an address.
_ADDRESS = frozenset({"token_address", "wrong_address", "redirect"})


class PmsReader(Protocol):
    """As much of a PMS as a person's question needs; see `port.Pms`."""

    @property
    def name(self) -> PmsName:
        """Which one."""

    async def find(self, reference: str, *, further: Further = uncounted) -> LookupAnswer:
        """Reservations under our reference."""

    async def reservation(self, reservation_id: str) -> ReservationAnswer:
        """One reservation by id."""

    async def listing(self, listing_id: str) -> ListingAnswer:
        """One listing by id."""


async def under_reference(pms: PmsReader, reference: str) -> tuple[RemoteReservation, ...]:
    """Reservations under our reference, oldest first; empty: the PMS holds none.

    Raises:
        PmsUnansweredError: It did not say.
    """
    answer: LookupAnswer = await pms.find(reference)
    match answer:
        case Found(reservations=hits):
            return hits
        case Absent():
            return ()
        case _:
            raise _unanswered(answer, pms)


async def by_id(pms: PmsReader, reservation_id: str) -> RemoteReservation | None:
    """One reservation by its id; None: the PMS holds none of that id.

    Raises:
        PmsUnansweredError: It did not say.
    """
    answer: ReservationAnswer = await pms.reservation(reservation_id)
    match answer:
        case RemoteReservation():
            return answer
        case Absent():
            return None
        case _:
            raise _unanswered(answer, pms)


def _unanswered(answer: Rejected | ReadFailure, pms: PmsReader) -> PmsUnansweredError:
    match answer:
        case RateLimited(retry_after=wait):
            seconds = max(int(wait.total_seconds()), 1)
            return PmsUnansweredError(
                "rate_limited",
                "the PMS asked to slow down",
                hint=f"Ask again in {seconds} s.",
            )
        case Misconfigured():
            return PmsUnansweredError(
                answer.code,
                f"{answer.message} ({answer.code})",
                hint=_access_hint(answer.code, pms),
            )
        case Unavailable() | Rejected():
            return PmsUnansweredError(
                answer.code,
                f"the PMS did not say what it holds: {answer.message} ({answer.code})",
                hint="Try again in a minute.",
            )
        case _:
            assert_never(answer)


def refused_access(answer: Misconfigured, pms: PmsReader) -> OutboxError:
    """What whoever asks for more than one thing ends with: nothing else is answered either."""
    if answer.code in _NO_SETTING:
        return PmsUnansweredError(
            answer.code,
            f"{answer.message} ({answer.code})",
            hint=_access_hint(answer.code, pms),
        )
    return SettingsError(
        (f"{_settings(answer.code, pms)}: {answer.message}",),
        hint=f"{pms.name.display_name} refuses what is set. {_access_hint(answer.code, pms)}",
    )


def _access_hint(code: str, pms: PmsReader) -> str:
    known = ACCESS.get(code)
    if known is None:
        return f"Correct {_settings(code, pms)}."
    return " ".join((known.step.text, *known.step.commands))


def _settings(code: str, pms: PmsReader) -> str:
    if pms.name is PmsName.GUESTY and code in _ADDRESS:
        return "GUESTY_API_URL"
    return " or ".join(NEEDED_TO_CALL[pms.name])
