"""The stand-in as a real process that speaks the Guesty API, for tests and demonstrations.

with start_guesty(tmp_path) as pms, pms.client() as client:
    created = create(client, "LA2026-00001")
    …
    assert pms.tokens()["requests"] == 1
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.support_simulator import LISTING, LISTINGS, Json, Simulator

CLIENT_ID = "rehearsal-client"
CLIENT_SECRET = "rehearsal-secret"
RESERVATIONS = "/v1/reservations-v3"
NO_RATE = ("--rate", "0", "0", "0")


class GuestySimulator(Simulator):
    """One such process; ``Simulator`` has what both kinds can.

    Args:
        folder: Its state is in ``folder/simulator``.
        listings: Given at each start; None: those of the directory.
        seed: Of the faults' dice.
        arguments: More options; without a rate among them there is no limit.
    """

    def __init__(
        self,
        folder: Path,
        *,
        listings: Mapping[str, str] | None = LISTINGS,
        seed: int = 0,
        arguments: Sequence[str] = (),
    ) -> None:
        own = ["--pms", "guesty", "--client-id", CLIENT_ID, "--client-secret", CLIENT_SECRET]
        if "--rate" not in arguments:
            own += NO_RATE
        super().__init__(
            folder / "simulator",
            api_key=None,
            listings=listings,
            seed=seed,
            arguments=[*own, *arguments],
        )

    def ask_token(self, *, secret: str = CLIENT_SECRET, **fields: str) -> httpx.Response:
        """Ask for a token, whatever comes of it."""
        form = {
            "grant_type": "client_credentials",
            "scope": "open-api",
            "client_id": CLIENT_ID,
            "client_secret": secret,
            **fields,
        }
        return httpx.post(f"{self.url}/oauth2/token", data=form, trust_env=False)

    def token(self) -> str:
        """A new token, which must be granted."""
        answer = self.ask_token()
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def client(self, *, timeout: float = 10.0, token: str | None = None) -> httpx.Client:
        """A client with a token, a new one unless it is given; the caller closes it."""
        headers = {"authorization": f"Bearer {token or self.token()}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

    def tokens(self) -> Json:
        """How many tokens were asked for, granted, refused; and how many are good."""
        counted: Json = self._call("GET", "tokens")
        return counted

    def revoke_tokens(self) -> None:
        """Make every token that is out useless at once."""
        self._call("DELETE", "tokens")

    def forget_quota(self) -> None:
        """Let a day pass for the number of tokens."""
        self._call("POST", "tokens/quota", {})

    def held(self, reference: str) -> list[Json]:
        """What it holds under a reference, oldest first."""
        return [one for one in self.reservations() if one["confirmationCode"] == reference]


@contextlib.contextmanager
def start_guesty(folder: Path, **options: Any) -> Iterator[GuestySimulator]:
    """A running one with its state in ``folder``."""
    simulator = GuestySimulator(folder, **options)
    try:
        simulator.start()
        yield simulator
    finally:
        simulator.close()


def creation(reference: str = "LA2026-00001", **fields: Any) -> Json:
    """The body of a create that a fresh one accepts."""
    body: Json = {
        "listingId": LISTING,
        "checkInDateLocalized": "2026-12-01",
        "checkOutDateLocalized": "2026-12-05",
        "source": "website",
        "status": "confirmed",
        "guestsCount": 3,
        "numberOfGuests": {"numberOfAdults": 2, "numberOfChildren": 1, "numberOfInfants": 0},
        "guest": {
            "firstName": "Zoë",
            "lastName": "Müller-Łęcki",
            "email": "zoe@example.com",
            "phones": ["+491525550100"],
        },
        "accommodationFare": 1160.50,
        "cleaningFee": 80,
        "applyPromotions": False,
        "confirmationCode": reference,
        "originId": reference,
    }
    return {**body, **fields}


def create(client: httpx.Client, reference: str, **fields: Any) -> str:
    """Create a reservation, which must be accepted; returns its id."""
    answer = client.post(RESERVATIONS, json=creation(reference, **fields))
    assert answer.status_code == 201, answer.text
    reservation_id: str = answer.json()["reservationId"]
    return reservation_id


def put(client: httpx.Client, reservation_id: str, step: str, body: Any) -> httpx.Response:
    """One change."""
    return client.put(f"{RESERVATIONS}/{reservation_id}/{step}", json=body)


def nights(first: str, last: str) -> Json:
    """The two dates of a stay."""
    return {"checkInDateLocalized": first, "checkOutDateLocalized": last}


def cancellation(reason: str = "No Reason Provided") -> Json:
    """The body of a cancellation."""
    return {"status": "canceled", "cancellationReason": reason}


def search(client: httpx.Client, *references: str, **query: Any) -> list[Json]:
    """The rows of a search by reference."""
    asked = {"filter[confirmationCode]": ",".join(references), **query}
    answer = client.get(f"{RESERVATIONS}/search", params=asked)
    assert answer.status_code == 200, answer.text
    rows: list[Json] = answer.json()["results"]
    return rows


def read(client: httpx.Client, *ids: str) -> list[Json]:
    """Reservations by id."""
    asked = {f"reservationIds[{place}]": one for place, one in enumerate(ids)}
    answer = client.get(RESERVATIONS, params=asked)
    assert answer.status_code == 200, answer.text
    found: list[Json] = json.loads(answer.content)
    return found
