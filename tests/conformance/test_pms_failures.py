"""What any PMS adapter has to make of a PMS that fails: what is known, and never more than that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from outbox_worker.database import Connection
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Found,
    Held,
    Misconfigured,
    Pms,
    RateLimited,
    Rejected,
    Unavailable,
)
from outbox_worker.wiring import open_pms, read_worker_config
from tests.support_engine import eventually
from tests.support_pms import FIRST, REFERENCE, Rig, completed, created, update
from tests.support_simulator import Json

Call: TypeAlias = Callable[[Pms, Rig, str], Awaitable[Any]]


async def find(pms: Pms, rig: Rig, reservation_id: str) -> Any:
    del rig, reservation_id
    return await pms.find(REFERENCE)


async def by_id(pms: Pms, rig: Rig, reservation_id: str) -> Any:
    del rig
    return await pms.reservation(reservation_id)


async def listing(pms: Pms, rig: Rig, reservation_id: str) -> Any:
    del rig, reservation_id
    return await pms.listing(FIRST)


async def create(pms: Pms, rig: Rig, reservation_id: str) -> Any:
    del reservation_id
    return await pms.create(rig.stay(reference="LA2026-2", listing_id=FIRST), idempotency_key="k9")


async def change(pms: Pms, rig: Rig, reservation_id: str) -> Any:
    return await update(pms, reservation_id, rig.stay(notes="changed"))


async def cancel(pms: Pms, rig: Rig, reservation_id: str) -> Any:
    del rig
    return await pms.cancel(reservation_id, reference=REFERENCE, idempotency_key="k9")


READS: dict[str, Call] = {"find": find, "read": by_id, "listing": listing}
WRITES: dict[str, Call] = {"create": create, "change": change, "cancel": cancel}

#: Faults of which nobody knows whether the write took effect.
UNKNOWN: list[tuple[str, Json]] = [
    ("error", {"status": 500, "when": "before"}),
    ("error", {"status": 500, "when": "after"}),
    ("error", {"status": 502, "when": "before"}),
    ("error", {"status": 503, "when": "before"}),
    ("error", {"status": 504, "when": "after"}),
    ("break", {"when": "before"}),
    ("break", {"when": "before", "reset": True}),
    ("break", {"when": "after"}),
    ("cut", {"when": "after"}),
    ("no_id", {}),
    ("html", {"when": "after"}),
    ("oversized", {"bytes": 3_000_000}),
]
BROKEN_READS: list[tuple[str, Json, tuple[type, ...]]] = [
    ("error", {"status": 500}, (Unavailable,)),
    ("error", {"status": 503}, (Unavailable,)),
    ("break", {}, (Unavailable,)),
    ("break", {"reset": True}, (Unavailable,)),
    ("cut", {}, (Unavailable,)),
    ("oversized", {"bytes": 3_000_000}, (Unavailable,)),
    ("html", {}, (Misconfigured,)),
    ("redirect", {}, (Misconfigured,)),
]


async def struck(
    pms: Pms, rig: Rig, operation: str, call: Call, fault: str, **fields: Any
) -> tuple[Any, list[Json]]:
    """The answer to one call that meets a fault, and the requests that it has made."""
    held = await completed(pms, rig.stay())
    if operation == "create":
        rig.simulator.delete(held.reservation_id)
    before = len(rig.simulator.requests())
    rig.simulator.once(fault, operation=operation, **fields)
    answer = await call(pms, rig, held.reservation_id)
    return answer, rig.simulator.requests()[before:]


@pytest.mark.parametrize(("fault", "fields"), UNKNOWN)
@pytest.mark.parametrize("operation", WRITES)
async def test_a_write_without_a_trustworthy_answer_is_ambiguous_and_is_sent_once(
    pms: Pms, rig: Rig, operation: str, fault: str, fields: Json
) -> None:
    answer, requests = await struck(pms, rig, operation, WRITES[operation], fault, **fields)
    assert isinstance(answer, Ambiguous), answer
    assert [one["operation"] for one in requests if one["method"] != "GET"].__len__() == 1
    if fields.get("status", 0) in {502, 503, 504} or fault in {"break", "cut"}:
        assert not answer.finished, "it may still be under way"


async def test_an_answer_about_somebody_elses_reference_is_not_ours(pms: Pms, rig: Rig) -> None:
    rig.simulator.once("foreign", operation="create")
    answer = await pms.create(rig.stay(), idempotency_key="k0")
    assert isinstance(answer, Ambiguous)
    assert answer.code == "other_reference"


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_write_without_an_answer_in_time_is_ambiguous(
    pms: Pms, hasty: Pms, rig: Rig, operation: str, when: str
) -> None:
    held = await completed(pms, rig.stay())
    if operation == "create":
        rig.simulator.delete(held.reservation_id)
    before = len(rig.writes())
    rig.simulator.once("timeout", operation=operation, when=when, seconds=30)
    answer = await WRITES[operation](hasty, rig, held.reservation_id)
    assert isinstance(answer, Ambiguous), answer
    assert (answer.code, answer.finished) == ("timeout", False)

    async def written() -> bool:
        return len(rig.writes()) - before == (1 if when == "after" else 0)

    await eventually(written, "the effect, or none")


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize(("fault", "fields", "kinds"), BROKEN_READS)
async def test_a_read_that_fails_says_so_and_is_sent_once(
    pms: Pms, rig: Rig, operation: str, fault: str, fields: Json, kinds: tuple[type, ...]
) -> None:
    answer, requests = await struck(pms, rig, operation, READS[operation], fault, **fields)
    assert isinstance(answer, kinds), answer
    assert len(requests) == 1


@pytest.mark.parametrize("operation", READS)
async def test_a_read_without_an_answer_in_time_is_unavailable(
    pms: Pms, hasty: Pms, rig: Rig, operation: str
) -> None:
    held = await completed(pms, rig.stay())
    rig.simulator.once("timeout", operation=operation, seconds=30)
    answer = await READS[operation](hasty, rig, held.reservation_id)
    assert isinstance(answer, Unavailable), answer
    assert (answer.code, answer.outage) == ("timeout", True)


@pytest.mark.parametrize("operation", ["find", "read"])
async def test_a_read_whose_answer_names_no_reservation_proves_nothing(
    pms: Pms, rig: Rig, operation: str
) -> None:
    answer, _ = await struck(pms, rig, operation, READS[operation], "no_id")
    assert isinstance(answer, Unavailable), answer


async def test_a_hit_is_compared_with_the_reference_looked_for(pms: Pms, rig: Rig) -> None:
    answer, _ = await struck(pms, rig, "find", find, "foreign")
    assert isinstance(answer, Absent | Unavailable), "somebody else's is never a hit"


async def test_a_look_up_that_lags_misses_what_is_there(pms: Pms, rig: Rig) -> None:
    await created(pms, rig.stay())
    rig.simulator.once("stale", operation="find", seconds=600)
    assert isinstance(await pms.find(REFERENCE), Absent)
    assert isinstance(await pms.find(REFERENCE), Found)


@pytest.mark.parametrize("as_date", [False, True])
@pytest.mark.parametrize("operation", [*READS, *WRITES])
async def test_a_rate_limit_says_how_long_and_nothing_is_done(
    pms: Pms, rig: Rig, operation: str, *, as_date: bool
) -> None:
    held = await completed(pms, rig.stay())
    before = rig.states()
    rig.simulator.once("rate_limit", operation=operation, retry_after=40, as_date=as_date)
    call = {**READS, **WRITES}[operation]
    answer = await call(pms, rig, held.reservation_id)
    assert isinstance(answer, RateLimited), answer
    assert timedelta(seconds=30) <= answer.retry_after <= timedelta(seconds=41)
    assert rig.states() == before


async def test_a_refused_key_is_a_fault_of_the_configuration(
    conn: Connection, database_url: str, rig: Rig
) -> None:
    del conn
    config = read_worker_config(rig.environ(database_url, wrong=True))
    async with open_pms(config.sync, config.database, connections=1) as stranger:
        assert stranger is not None
        for answer in (
            await stranger.find(REFERENCE),
            await stranger.listing(FIRST),
            await stranger.create(rig.stay(), idempotency_key="k"),
        ):
            assert isinstance(answer, Misconfigured), answer
    assert rig.states() == []


async def test_a_wrong_address_is_a_fault_of_the_configuration(rig: Rig) -> None:
    lost = rig.adapter(url=f"{rig.simulator.url}/v9")
    try:
        for answer in (
            await lost.find(REFERENCE),
            await lost.create(rig.stay(), idempotency_key="k"),
        ):
            assert isinstance(answer, Misconfigured), answer
    finally:
        await lost.aclose()


async def test_a_pms_that_is_down_was_sent_nothing(pms: Pms, rig: Rig) -> None:
    held = await completed(pms, rig.stay())
    rig.simulator.kill()
    try:
        answers = [
            await call(pms, rig, held.reservation_id)
            for call in (*READS.values(), *WRITES.values())
        ]
    finally:
        rig.simulator.start()
    for answer in answers:
        assert isinstance(answer, Unavailable), answer
        assert answer.code == "connection_refused"
    assert rig.states() == [rig.shows(rig.stay())]


@pytest.mark.parametrize("form", ["error", "error_code", "message", "issues", "text", "html"])
@pytest.mark.parametrize("operation", WRITES)
async def test_a_refusal_that_repeats_the_guests_data_is_told_without_them(
    pms: Pms, rig: Rig, operation: str, form: str
) -> None:
    stay = rig.stay()
    told = f"{stay.guest_name} <{stay.guest_email}> {stay.guest_phone}: too short a stay"
    answer, _ = await struck(
        pms,
        rig,
        operation,
        WRITES[operation],
        "reject",
        status=422,
        code="MIN_NIGHTS",
        message=told,
        form=form,
    )
    assert isinstance(answer, Rejected | Ambiguous | Held), answer
    message = getattr(answer, "message", "")
    for secret in ("Zoë", "Müller", "zoe.lecki", "5550"):
        assert secret not in message
