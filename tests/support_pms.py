"""Both PMSes in one form: what the conformance suite needs to know of each, and nothing more.

Each is its stand-in as a real process, the adapter that is made for it, and the state that the
stand-in must show for a reservation.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.guesty import Guesty
from outbox_worker.pms.guesty_token import Token
from outbox_worker.pms.port import Detail, Held, Parts, Pms, PmsName, Reservation
from tests import support_simulator_guesty
from tests.support_booking import a_reservation
from tests.support_guesty_adapter import Tokens
from tests.support_simulator import API_KEY, LISTINGS, Json, Simulator, create, start_simulator
from tests.support_simulator_guesty import CLIENT_ID, CLIENT_SECRET, GuestySimulator, start_guesty
from tests.support_worker import environment

FIRST, SECOND, THIRD = LISTINGS
REFERENCE = "LA2026-48213"
PATIENT = timedelta(seconds=20)
SHORT = timedelta(seconds=0.5)
#: No write is repeated earlier in these tests; above the time for which a read shows an old status.
QUIET_S = 0.4
_STATUS_LAG_S = 0.1
_DETAIL = Detail(
    first_name="Zoë",
    last_name="Müller-Łęcki",
    adults=2,
    children=1,
    infants=0,
    cleaning_fee=Decimal("90.25"),
)


class Rig(abc.ABC):
    """One PMS and its stand-in.

    Args:
        simulator: Running.
    """

    name: PmsName

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    @abc.abstractmethod
    def reset(self) -> None:
        """Back to an empty PMS that knows no idempotency key, without faults."""

    @abc.abstractmethod
    def adapter(self, *, within: timedelta = PATIENT, url: str | None = None) -> Pms:
        """An adapter with a good key; the caller closes it."""

    @abc.abstractmethod
    def environ(self, database_url: str, *, wrong: bool = False, **settings: str) -> dict[str, str]:
        """Settings of a worker, with a key that is refused where it is ``wrong``."""

    @abc.abstractmethod
    def calls(self, *steps: str) -> list[str]:
        """What a change of these of listing, dates, guests, status and notes sends, in order."""

    @abc.abstractmethod
    def own_words(self, held: Json) -> Json:
        """What its state has in words of its own: the guests."""

    @abc.abstractmethod
    def guests(self, reservation: Reservation) -> Any:
        """The guests as `own_words` has them."""

    @abc.abstractmethod
    def enter_by_hand(self, reference: str) -> None:
        """A person enters a stay of another guest in the PMS, under a reference of ours."""

    def stay(self, **changes: Any) -> Reservation:
        """A confirmed stay with every field filled, as it is mapped for this PMS."""
        return dataclasses.replace(a_reservation(guest_phone="+493055501234"), **changes)

    def states(self, reference: str | None = None) -> list[Json]:
        """What the stand-in holds, oldest first, in the words of `shows`."""
        return [
            {
                "reference": held["confirmationCode"],
                "listing": held["listingId"],
                "dates": (held["checkIn"], held["checkOut"]),
                "guests": self.own_words(held),
                "status": held["status"],
                "notes": held["notes"],
                "guest": (held["guestName"], held["guestEmail"], held["guestPhone"]),
            }
            for held in self.simulator.reservations()
            if reference in {None, held["confirmationCode"]}
        ]

    def shows(self, reservation: Reservation) -> Json:
        """The state that it must hold for a reservation; without the price."""
        return {
            "reference": reservation.reference,
            "listing": reservation.listing_id,
            "dates": (reservation.check_in.isoformat(), reservation.check_out.isoformat()),
            "guests": self.guests(reservation),
            "status": reservation.status.value,
            "notes": reservation.notes,
            "guest": (
                reservation.guest_name,
                reservation.guest_email,
                reservation.guest_phone,
            ),
        }

    def writes(self) -> list[str]:
        """The effects so far, by the call that made each."""
        return [
            effect["op"]
            if effect["op"] in {"cancel", "delete"}
            else effect.get("step") or effect["op"]
            for effect in self.simulator.effects()
        ]

    def sent(self) -> list[Json]:
        """The requests so far that ask for a write, refused and broken ones included."""
        return [
            one
            for one in self.simulator.requests()
            if one["method"] != "GET" and one["operation"] != "token"
        ]


class GuestlyRig(Rig):
    """Written as a whole."""

    name = PmsName.GUESTLY

    def reset(self) -> None:
        """Back to an empty one."""
        self.simulator.reset()
        self.simulator.clear_faults()
        self.simulator.list_anew(dict(LISTINGS))
        self.simulator.switch(idempotency="ignore", availability=True)

    def adapter(self, *, within: timedelta = PATIENT, url: str | None = None) -> Guestly:
        """With the key."""
        return Guestly(
            api_url=url or self.simulator.url, api_key=API_KEY, timeout=within, connections=4
        )

    def environ(self, database_url: str, *, wrong: bool = False, **settings: str) -> dict[str, str]:
        """Its address and key."""
        key = {"GUESTLY_API_KEY": "wrong"} if wrong else {}
        return _settings(database_url, self.simulator, **key, **settings)

    def calls(self, *steps: str) -> list[str]:
        """One for all."""
        return ["change"] if steps else []

    def enter_by_hand(self, reference: str) -> None:
        """Of other dates."""
        with self.simulator.client() as client:
            create(client, reference)

    def own_words(self, held: Json) -> Any:
        """Their number."""
        return held["numberOfGuests"]

    def guests(self, reservation: Reservation) -> Any:
        """Their number."""
        return reservation.number_of_guests


class GuestyRig(Rig):
    """Written part by part, with a token."""

    name = PmsName.GUESTY
    simulator: GuestySimulator

    def reset(self) -> None:
        """Back to an empty one."""
        self.simulator.reset()
        self.simulator.clear_faults()
        self.simulator.list_anew(dict(LISTINGS))
        self.simulator.switch(availability=True, status_lag_s=_STATUS_LAG_S)

    def adapter(self, *, within: timedelta = PATIENT, url: str | None = None) -> Guesty:
        """With a token of its own."""
        tokens = Tokens()
        tokens.answer = Token(self.simulator.token(), 1)
        return Guesty(
            api_url=url or self.simulator.url, tokens=tokens, timeout=within, connections=4
        )

    def environ(self, database_url: str, *, wrong: bool = False, **settings: str) -> dict[str, str]:
        """Its address, client and secret."""
        own = {
            "PMS": "guesty",
            "GUESTY_API_URL": self.simulator.url,
            "GUESTY_CLIENT_ID": CLIENT_ID,
            "GUESTY_CLIENT_SECRET": "wrong" if wrong else CLIENT_SECRET,
        }
        return _settings(database_url, self.simulator, **own, **settings)

    def calls(self, *steps: str) -> list[str]:
        """One for each."""
        order = {"listing": "relocate", **{step: step for step in ("dates", "guests", "status")}}
        return [call for step, call in {**order, "notes": "notes"}.items() if step in steps]

    def enter_by_hand(self, reference: str) -> None:
        """Of other dates, without our ``originId``."""
        with self.simulator.client() as client:
            support_simulator_guesty.create(client, reference, originId="by-hand")

    def own_words(self, held: Json) -> Any:
        """All kinds and their sum."""
        return (*held["guesty"]["numberOfGuests"].values(), held["numberOfGuests"])

    def guests(self, reservation: Reservation) -> Any:
        """All kinds and their sum."""
        detail = reservation.detail
        assert detail is not None
        return (detail.adults, detail.children, detail.infants, reservation.number_of_guests)

    def stay(self, **changes: Any) -> Reservation:
        """With the detail."""
        return super().stay(**{"detail": _DETAIL, **changes})


@contextlib.contextmanager
def started(name: PmsName, folder: Path) -> Iterator[Rig]:
    """The rig of one PMS, its stand-in running."""
    if name is PmsName.GUESTLY:
        with start_simulator(folder) as guestly:
            yield GuestlyRig(guestly)
    else:
        with start_guesty(folder, arguments=("--token-quota", "100000")) as guesty:
            yield GuestyRig(guesty)


async def created(pms: Pms, reservation: Reservation, *, key: str = "k0") -> Held:
    """Create it, which must succeed; parts may be left."""
    answer = await pms.create(reservation, idempotency_key=key)
    assert isinstance(answer, Held), answer
    return answer


async def completed(pms: Pms, reservation: Reservation, *, key: str = "k0") -> Held:
    """Create it with all of its parts."""
    held = await created(pms, reservation, key=key)
    if not held.more:
        return held
    return (await changed(pms, held, reservation))[-1]


async def changed(pms: Pms, held: Held, reservation: Reservation) -> Sequence[Held]:
    """Update it until nothing is left, each time with what the call before has answered."""
    answers = [held]
    while len(answers) == 1 or answers[-1].more:
        answer = await pms.update(
            held.reservation_id,
            reservation,
            held=answers[-1].parts,
            shown=None,
            idempotency_key=f"k{len(answers)}",
        )
        assert isinstance(answer, Held), answer
        answers.append(answer)
    return answers[1:]


async def update(pms: Pms, reservation_id: str, reservation: Reservation, **more: Parts) -> Any:
    """One call, of a reservation of which nothing is known unless it is given."""
    return await pms.update(
        reservation_id,
        reservation,
        held=more.get("held", {}),
        shown=None,
        idempotency_key="k9",
    )


def _settings(database_url: str, simulator: Simulator, **settings: str) -> dict[str, str]:
    return environment(
        database_url,
        simulator,
        **{
            "PMS_TIMEOUT_SECONDS": "5",
            "WORKER_LEASE_SECONDS": "20",
            "PMS_QUIET_SECONDS": str(QUIET_S),
            "PMS_RATE_PER_SECOND": "0",
            "PMS_RATE_PER_MINUTE": "0",
            "PMS_RATE_PER_HOUR": "0",
            "SYNC_REDRIVE_HOURS": "0",
            **settings,
        },
    )
