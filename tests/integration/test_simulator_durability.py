"""What the stand-in has answered is on disk, whatever kills it, and it carries on from there."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from outbox_worker.simulator.effect import Write
from outbox_worker.simulator.listings import listings_from
from outbox_worker.simulator.stand_in import open_stand_in
from tests.support_simulator import LISTINGS, Simulator, booking, start_simulator, wait_for


def nights(number: int) -> dict[str, str]:
    """A stay of its own for each number."""
    year, day = 2026 + number // 28, number % 28 + 1
    return {"checkIn": f"{year}-01-{day:02d}", "checkOut": f"{year}-01-{day + 1:02d}"}


def test_a_restart_keeps_reservations_keys_and_numbers(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        headers = {"idempotency-key": "k"}
        with pms.client() as client:
            first = client.post("/reservations", json=booking("A"), headers=headers).json()
            client.put(f"/reservations/{first['_id']}", json={"notes": "changed"})
        before, url = pms.reservations(), pms.url

        assert pms.stop() == 0
        pms.start()

        assert pms.url == url
        assert pms.reservations() == before
        assert pms.state()["counters"]["effects"]["create"] == 1
        with pms.client() as client:
            again = client.post("/reservations", json=booking("A"), headers=headers)
            assert again.json() == first
            client.post("/reservations", json=booking("B", **nights(1)))
        assert [one["n"] for one in pms.effects()] == [1, 2, 3]
        numbers = [one["n"] for one in pms.requests()]
        assert numbers == sorted(set(numbers))


def test_a_restart_without_a_file_of_listings_keeps_the_listings(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        pms.list_anew([{"_id": "kept", "title": "Kept", "active": False}])
        listings = pms.state()["listings"]
        pms.stop()

    with start_simulator(tmp_path, listings=None) as pms:
        assert pms.state()["listings"] == listings


def test_lost_keys_stay_lost_after_a_restart(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        pms.switch(availability=False)
        headers = {"idempotency-key": "k"}
        with pms.client() as client:
            client.post("/reservations", json=booking(), headers=headers)
        pms.forget_keys()
        pms.stop()
        pms.start()
        pms.switch(availability=False)
        with pms.client() as client:
            client.post("/reservations", json=booking(), headers=headers)

        assert len(pms.effects()) == 2


async def test_state_and_effect_are_synced_in_that_order_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a SIGKILL leaves the page cache alone: only the calls themselves tell what a power cut would
    synced: list[tuple[str, int]] = []
    fsync = os.fsync

    def recording(file: int) -> None:
        fsync(file)
        name = Path(f"/proc/self/fd/{file}").readlink().name
        synced.append((name, len(Path(f"/proc/self/fd/{file}").read_bytes().splitlines())))

    stand_in = open_stand_in(
        tmp_path / "state", api_key=None, seed=0, listings=listings_from(dict(LISTINGS))
    )
    with contextlib.closing(stand_in.journal):
        monkeypatch.setattr(os, "fsync", recording)
        write = Write(request=1, idempotency_key=None, body_sha256="0" * 64)

        await stand_in.create(booking("A"), write)

        assert synced == [("state.jsonl", 1), ("effects.jsonl", 1)]


def test_sigkill_under_load_loses_no_answered_effect(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        answered: set[str] = set()
        enough = threading.Event()

        def book(worker: int) -> None:
            listing = list(LISTINGS)[worker]
            with pms.client() as client:
                for number in range(10_000):
                    reference = f"{worker}-{number}"
                    body = booking(reference, listingId=listing, **nights(number))
                    try:
                        answer = client.post("/reservations", json=body)
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 201
                    answered.add(reference)
                    if len(answered) >= 60:
                        enough.set()

        workers = [threading.Thread(target=book, args=(number,)) for number in range(3)]
        for worker in workers:
            worker.start()
        assert enough.wait(timeout=20)
        assert pms.kill() == -signal.SIGKILL
        for worker in workers:
            worker.join(timeout=20)

        logged = [one["reference"] for one in pms.effects()]
        assert answered <= set(logged)
        assert [one["n"] for one in pms.effects()] == list(range(1, len(logged) + 1))
        pms.start()
        assert [one["confirmationCode"] for one in pms.reservations()] == logged


@pytest.mark.parametrize("name", ["effects.jsonl", "state.jsonl", "requests.jsonl"])
def test_a_torn_last_line_is_dropped(tmp_path: Path, name: str) -> None:
    with start_simulator(tmp_path) as pms:
        with pms.client() as client:
            client.post("/reservations", json=booking("A"))
        pms.kill()
        with (pms.state_dir / name).open("ab") as file:
            file.write(b'{"n": 2, "at"')

        pms.start()

        assert [one["confirmationCode"] for one in pms.reservations()] == ["A"]
        with pms.client() as client:
            answer = client.post("/reservations", json=booking("B", **nights(1)))
        assert answer.status_code == 201
        assert [one["n"] for one in pms.effects()] == [1, 2]


def test_a_state_without_its_effect_was_never_answered_and_is_dropped(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        with pms.client() as client:
            client.post("/reservations", json=booking("A"))
            client.post("/reservations", json=booking("B", **nights(1)))
        pms.kill()
        effects = pms.state_dir / "effects.jsonl"
        effects.write_bytes(effects.read_bytes().splitlines(keepends=True)[0])

        pms.start()
        assert [one["confirmationCode"] for one in pms.reservations()] == ["A"]

        with pms.client() as client:
            client.post("/reservations", json=booking("C", **nights(1)))
        pms.kill()
        pms.start()
        assert [one["confirmationCode"] for one in pms.reservations()] == ["A", "C"]


def test_a_damaged_line_in_the_middle_stops_the_start(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        with pms.client() as client:
            client.post("/reservations", json=booking("A"))
        pms.kill()
        state = pms.state_dir / "state.jsonl"
        state.write_bytes(b"{}damaged\n" + state.read_bytes())

        with pytest.raises(AssertionError, match=r"line 1 of state\.jsonl is damaged"):
            pms.start()


def test_a_full_disk_answers_500_and_holds_only_what_was_answered(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms, pms.client() as client:
        client.post("/reservations", json=booking("A"))
        full = (pms.state_dir / "state.jsonl").stat().st_size + 50
        resource.prlimit(pms.pid, resource.RLIMIT_FSIZE, (full, full))

        refused = client.post("/reservations", json=booking("B", **nights(1)))
        look_up = client.get("/reservations", params={"confirmationCode": "B"})

        assert refused.json()["error"]["code"] == "STORAGE_FAILED"
        assert look_up.status_code == 500
        assert httpx.get(f"{pms.url}/_simulator/state", trust_env=False).status_code == 500
        pms.kill()
        pms.start()
        assert [one["confirmationCode"] for one in pms.reservations()] == ["A"]


def test_two_simulators_cannot_share_a_state_directory(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms, contextlib.closing(Simulator(pms.state_dir)) as second:
        with pytest.raises(AssertionError, match="another simulator is using"):
            second.start()

        assert pms.reservations() == []


def test_a_taken_port_is_named_and_exits_1(tmp_path: Path) -> None:
    with start_simulator(tmp_path / "first") as pms:
        port = int(pms.url.rpartition(":")[2])
        with contextlib.closing(Simulator(tmp_path / "second", port=port)) as second:
            failure = f"ended with 1.*cannot listen on port {port}"
            with pytest.raises(AssertionError, match=failure):
                second.start()


def test_the_state_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        modes = [file.stat().st_mode & 0o077 for file in pms.state_dir.glob("*.jsonl")]

        assert pms.state_dir.stat().st_mode & 0o077 == 0
        assert modes == [0, 0, 0]


def test_sigterm_ends_hanging_requests_at_once_without_their_effect(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        pms.once("timeout", seconds=60, operation="create", reference="A")
        pms.once("late", seconds=60, operation="create", reference="B")
        pms.once("slow", seconds=60, operation="find")
        broken: list[str] = []

        def call(method: str, reference: str) -> None:
            with pms.client(timeout=30) as client:
                try:
                    if method == "GET":
                        client.get("/reservations", params={"confirmationCode": reference})
                    else:
                        client.post("/reservations", json=booking(reference))
                except httpx.RemoteProtocolError:
                    broken.append(reference)

        calls = [("POST", "A"), ("POST", "B"), ("GET", "C")]
        threads = [threading.Thread(target=call, args=one) for one in calls]
        for thread in threads:
            thread.start()
        wait_for(lambda: pms.state()["faults"]["once"] == [])
        began = time.monotonic()

        assert pms.stop() == 0

        assert time.monotonic() - began < 5
        for thread in threads:
            thread.join(timeout=20)
        assert sorted(broken) == ["A", "B", "C"]
        assert pms.effects() == []
        last = json.loads(pms.log_file.read_text(encoding="utf-8").splitlines()[-1])
        assert last["event"] == "service.stopped"


def test_ctrl_c_stops_it_cleanly(tmp_path: Path) -> None:
    with start_simulator(tmp_path) as pms:
        os.kill(pms.pid, signal.SIGINT)

        assert pms.stop() == 0
