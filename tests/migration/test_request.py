"""outbox.request: what a request makes of a row in each of its states, alone and with others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.migration.support_delivery import (
    CLAIM,
    DISCARD,
    GIVE_UP,
    RETRY,
    SETTLE,
    delivery,
    history,
)
from tests.migration.support_site import Connection, value, wait_for_waiter

REQUEST = "select outbox.request('inbox', 'evt_1', 'stripe')"


def test_the_first_request_makes_the_row_and_it_is_due_now(owner: Connection) -> None:
    version = value(owner, "select outbox.request('inbox', 'evt_1', 'stripe', 'evt_1', '00-a')")

    assert version == 1
    assert delivery(owner) == {
        "requested": 1,
        "delivered": 0,
        "attempts": 0,
        "round": 1,
        "owner": None,
        "due": True,
        "failed": False,
        "discarded": False,
        "uncertain": False,
    }
    assert history(owner) == [(1, "stripe", "evt_1", "00-a")]


def test_on_a_settled_row_it_begins_a_round_due_now(owner: Connection) -> None:
    for statement in (REQUEST, CLAIM, SETTLE, REQUEST):
        owner.execute(statement)

    row = delivery(owner)
    assert (row["requested"], row["delivered"], row["due"]) == (2, 1, True)
    assert (row["attempts"], row["round"]) == (0, 2)


def test_on_a_failed_row_it_begins_a_round_due_now(owner: Connection) -> None:
    for statement in (REQUEST, CLAIM, GIVE_UP, REQUEST):
        owner.execute(statement)

    row = delivery(owner)
    assert (row["requested"], row["failed"], row["due"]) == (2, False, True)
    assert (row["attempts"], row["round"]) == (0, 2)


def test_a_planned_redrive_is_brought_forward(owner: Connection) -> None:
    owner.execute(REQUEST)
    owner.execute("update outbox.delivery set failed_at = now(), attempts = 3,"
                  " due_at = now() + interval '1 h'")  # fmt: skip
    owner.execute(REQUEST)

    row = delivery(owner)
    assert (row["failed"], row["due"], row["attempts"], row["round"]) == (False, True, 0, 2)


def test_a_waiting_row_keeps_its_place_and_its_attempts(owner: Connection) -> None:
    for statement in (REQUEST, CLAIM, RETRY, REQUEST):
        owner.execute(statement)

    row = delivery(owner)
    assert (row["requested"], row["due"]) == (2, False)
    assert (row["attempts"], row["round"]) == (1, 1)


def test_a_claimed_row_keeps_its_claim(owner: Connection) -> None:
    for statement in (REQUEST, CLAIM, REQUEST):
        owner.execute(statement)

    row = delivery(owner)
    assert (row["requested"], row["owner"], row["attempts"], row["round"]) == (2, "w", 1, 1)


def test_a_claimed_redrive_keeps_its_claim_and_is_given_up_no_more(owner: Connection) -> None:
    owner.execute(REQUEST)
    owner.execute("update outbox.delivery set failed_at = now()")
    owner.execute(CLAIM)
    owner.execute(REQUEST)

    row = delivery(owner)
    assert (row["owner"], row["failed"], row["attempts"], row["round"]) == ("w", False, 1, 1)


def test_an_uncertain_row_stays_uncertain(owner: Connection) -> None:
    for statement in (REQUEST, CLAIM, GIVE_UP):
        owner.execute(statement)
    owner.execute("update outbox.delivery set uncertain_at = now()")
    owner.execute(REQUEST)

    assert delivery(owner)["uncertain"] is True


def test_on_a_discarded_row_it_is_recorded_only(owner: Connection) -> None:
    for statement in (REQUEST, CLAIM, DISCARD):
        owner.execute(statement)
    before = delivery(owner)

    assert value(owner, REQUEST) == 2
    assert delivery(owner) == {**before, "requested": 2}
    assert [version for version, *_ in history(owner)] == [1, 2]


def test_two_on_a_new_key_count_once_each(
    owner: Connection, other: Connection, watcher: Connection
) -> None:
    with ThreadPoolExecutor() as pool:
        with owner.transaction():
            first = value(owner, REQUEST)
            second = pool.submit(value, other, REQUEST)
            wait_for_waiter(watcher, other.info.backend_pid)
        assert (first, second.result()) == (1, 2)
    assert [version for version, *_ in history(owner)] == [1, 2]


def test_one_that_is_rolled_back_leaves_the_next_as_the_first(
    owner: Connection, other: Connection, watcher: Connection
) -> None:
    with ThreadPoolExecutor() as pool:
        with owner.transaction(force_rollback=True):
            value(owner, REQUEST)
            second = pool.submit(value, other, REQUEST)
            wait_for_waiter(watcher, other.info.backend_pid)
        assert second.result() == 1
    assert [version for version, *_ in history(owner)] == [1]


def test_two_on_an_existing_key_count_once_each(
    owner: Connection, other: Connection, watcher: Connection
) -> None:
    owner.execute(REQUEST)
    with ThreadPoolExecutor() as pool:
        with owner.transaction():
            first = value(owner, REQUEST)
            second = pool.submit(value, other, REQUEST)
            wait_for_waiter(watcher, other.info.backend_pid)
        assert (first, second.result()) == (2, 3)


def test_one_that_waited_for_a_settle_counts_from_it(
    owner: Connection, other: Connection, watcher: Connection
) -> None:
    for statement in (REQUEST, CLAIM):
        owner.execute(statement)
    with ThreadPoolExecutor() as pool:
        with owner.transaction():
            owner.execute(SETTLE)
            second = pool.submit(value, other, REQUEST)
            wait_for_waiter(watcher, other.info.backend_pid)
        assert second.result() == 2
    row = delivery(owner)
    assert (row["delivered"], row["due"], row["attempts"], row["round"]) == (1, True, 0, 2)


def test_one_that_waited_for_a_discard_leaves_it_discarded(
    owner: Connection, other: Connection, watcher: Connection
) -> None:
    owner.execute(REQUEST)
    with ThreadPoolExecutor() as pool:
        with owner.transaction():
            owner.execute(DISCARD)
            second = pool.submit(value, other, REQUEST)
            wait_for_waiter(watcher, other.info.backend_pid)
        assert second.result() == 2
    row = delivery(owner)
    assert (row["discarded"], row["due"], row["round"]) == (True, None, 1)
