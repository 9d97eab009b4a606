"""The Guestly stand-in as a real process, for tests and demonstrations.

with start_simulator(tmp_path) as pms:
    pms.once("break", when="after", operation="create")
    …
    assert [effect["op"] for effect in pms.effects()] == ["create"]
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import httpx

from tests.support_port import kept_port

T = TypeVar("T")
Json: TypeAlias = dict[str, Any]

API_KEY = "rehearsal-key"
#: Listing ids and titles that a simulator has unless told otherwise.
LISTINGS: Mapping[str, str] = {
    "652f0000000000000000a001": "Harbour Loft",
    "652f0000000000000000a002": "Garden House",
    "652f0000000000000000a003": "Old Mill",
}
LISTING = next(iter(LISTINGS))
_PATIENCE_S = 20.0


class Simulator:
    """One simulator process and its state directory.

    Args:
        state_dir: Outlives the process, so that another one can carry on.
        api_key: What callers must show; None: any.
        listings: Given at each start; None: those of the directory.
        seed: Of the faults' dice.
        port: 0: any free one, which it keeps while it is down.
        arguments: More options of its command line.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        api_key: str | None = API_KEY,
        listings: Mapping[str, str] | None = LISTINGS,
        seed: int = 0,
        port: int = 0,
        arguments: Sequence[str] = (),
    ) -> None:
        self._arguments = arguments
        self.state_dir = state_dir
        self.api_key = api_key
        self.url = ""
        self._listings = listings
        self._seed = seed
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._running().pid

    @property
    def log_file(self) -> Path:
        """Everything that the processes of this directory have printed since the last start."""
        return self.state_dir.with_name(self.state_dir.name + ".log")

    def start(self) -> None:
        """Start it and wait until it answers; after a stop or a kill it has its old address."""
        self.state_dir.parent.mkdir(parents=True, exist_ok=True)
        self._port = self._port or kept_port()
        command = [sys.executable, "-m", "outbox_worker.simulator", "--state", str(self.state_dir)]
        command += ["--port", str(self._port), "--seed", str(self._seed)]
        if self.api_key is not None:
            command += ["--api-key", self.api_key]
        if self._listings is not None:
            listings = self.state_dir.with_name(self.state_dir.name + ".listings.json")
            listings.write_text(json.dumps(dict(self._listings)), encoding="utf-8")
            command += ["--listings", str(listings)]
        command += self._arguments
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # our own command
        first = wait_for(self._first_line)
        self.url = json.loads(first)["url"]
        self._http = httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL; returns the exit code."""
        return self._end(signal.SIGKILL)

    def close(self) -> None:
        """Make sure that nothing is left running."""
        if self._process is not None:
            self.kill()

    def client(self, *, timeout: float = 10.0) -> httpx.Client:
        """A client that shows the key; the caller closes it."""
        headers = {"authorization": f"Bearer {self.api_key or 'any'}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

    def state(self) -> Json:
        """Reservations, listings, counters, faults, switches and recent requests."""
        state: Json = self._call("GET", "state")
        return state

    def reservations(self) -> list[Json]:
        """What it holds, oldest first."""
        held: list[Json] = self.state()["reservations"]
        return held

    def effects(self) -> list[Json]:
        """The lines of ``effects.jsonl``; also when the process is gone."""
        return _lines(self.state_dir / "effects.jsonl")

    def requests(self) -> list[Json]:
        """The lines of ``requests.jsonl``; also when the process is gone."""
        return _lines(self.state_dir / "requests.jsonl")

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Replace the standing rules."""
        self._call("PUT", "faults", list(rules))

    def once(self, fault: str, **fields: Any) -> None:
        """Queue a fault for the next matching request, or for the next ``times``."""
        self._call("POST", "faults/once", {"fault": fault, **fields})

    def clear_faults(self) -> None:
        """Disarm every rule."""
        self._call("DELETE", "faults")

    def switch(self, **switches: Any) -> None:
        """Change ``idempotency``, ``key_ttl_s`` or ``availability``."""
        self._call("PATCH", "switches", switches)

    def forget_keys(self) -> None:
        """Lose all idempotency keys."""
        self._call("DELETE", "keys")

    def list_anew(self, listings: Any) -> None:
        """Replace the listings."""
        self._call("POST", "listings", listings)

    def delete(self, reservation_id: str) -> None:
        """Remove a reservation, as a person would."""
        self._call("DELETE", f"reservations/{reservation_id}")

    def reset(self) -> None:
        """Back to an empty PMS; the listings stay."""
        self._call("POST", "reset", {})

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        assert self._http is not None, "the simulator has not been started"
        headers = {"content-type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        answer = self._http.request(method, f"/_simulator/{path}", content=content, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def _end(self, number: int) -> int:
        process = self._running()
        process.send_signal(number)
        try:
            return process.wait(timeout=_PATIENCE_S)
        finally:
            self._process = None
            if self._http is not None:
                self._http.close()
                self._http = None

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the simulator is not running"
        return self._process

    def _first_line(self) -> str | None:
        process = self._running()
        printed = self.log_file.read_text(encoding="utf-8")
        if process.poll() is not None:
            self._process = None
            raise AssertionError(f"the simulator ended with {process.returncode}: {printed}")
        line, newline, _ = printed.partition("\n")
        # a start that fails logs why instead, and ends
        return line if newline and line.startswith('{"url"') else None


@contextlib.contextmanager
def start_simulator(folder: Path, **options: Any) -> Iterator[Simulator]:
    """A running simulator with its state in ``folder``; `Simulator` has the options."""
    simulator = Simulator(folder / "simulator", **options)
    try:
        simulator.start()
        yield simulator
    finally:
        simulator.close()


def booking(reference: str = "LA2026-00001", **fields: Any) -> Json:
    """The body of a create that a fresh simulator accepts."""
    body: Json = {
        "listingId": LISTING,
        "checkIn": "2026-12-01",
        "checkOut": "2026-12-05",
        "guestName": "Zoë Müller-Łęcki",
        "guestEmail": "zoe@example.com",
        "guestPhone": "+491525550100",
        "numberOfGuests": 3,
        "status": "confirmed",
        "money": {"fareAccommodation": 1240.50, "currency": "EUR"},
        "notes": "Late arrival",
        "source": "website",
        "confirmationCode": reference,
    }
    return {**body, **fields}


def create(client: httpx.Client, reference: str, **fields: Any) -> Json:
    """Create a reservation, which must be accepted; returns it."""
    answer = client.post("/reservations", json=booking(reference, **fields))
    assert answer.status_code == 201, answer.text
    held: Json = answer.json()
    return held


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and ``error.code`` of a refusal in the contract's form."""
    error = answer.json()["error"]
    assert isinstance(error["message"], str)
    return answer.status_code, error["code"]


def wait_for(probe: Callable[[], T | None], *, within_s: float = _PATIENCE_S) -> T:
    """The first answer of ``probe`` that is neither None nor False, or an AssertionError."""
    deadline = time.monotonic() + within_s
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def _lines(file: Path) -> list[Json]:
    # a line that is being written has no end yet
    whole = file.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]
