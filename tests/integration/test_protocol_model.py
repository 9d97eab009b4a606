"""The protocol against a model: requests, claims, results and operators in any order, as time goes.

Two bookings, two workers. A result may come from any claim ever made, and most of those are not
theirs any more. After each step both rows, the histories of their calls, their alerts and what the
site is shown have to be as the model says. Time passes by moving what the rows hold of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection, connect
from outbox_worker.handlers.effect import AlertRaised, Result
from outbox_worker.operations import requeue as operations
from outbox_worker.operations.discard import discard
from outbox_worker.operations.plan import Item
from outbox_worker.operations.slices import Request
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, Reason, WorkerId
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Outcome, Park, Retry, Wait
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import settle
from tests import support_model as model
from tests import support_model_rows as rows
from tests.support_engine import A, B, claim_all, insert_booking
from tests.support_model import LEASE_TICKS, MOST_ATTEMPTS, POLICY, TICK

T = TypeVar("T")

POLICIES = dict.fromkeys(Destination, POLICY)
BOOKINGS = (0, 1)
OUTCOMES: tuple[Outcome, ...] = (
    Done(),
    Done(record=AttemptOutcome.NOTHING),
    Retry(code="http_503", message="503"),
    Retry(code="timeout", message="time-out", ambiguous=True),
    Retry(code="http_500", message="500", ambiguous=True, settled_for=TICK),
    Park(code="listing_missing", message="no listing"),
    Wait(due_in=None, code="later", message="later"),
    Wait(due_in=TICK, code="http_429", message="429", record=AttemptOutcome.RATE_LIMITED),
    Wait(due_in=TICK * 0, code="adopted", message="it is there", certain=True),
    Abandon(code="worker_stopped"),
)
ANY_OUTCOME = st.sampled_from(OUTCOMES)
OWNERS = st.sampled_from((A, B))
BY_A_PERSON = Request(actor="ops", target="--failed", reason=None)


def told(booking: UUID) -> AlertRaised:
    """An incident of its own for each booking."""
    raised = NewAlert(kind=AlertKind.SYNC_FAILED, fingerprint=str(booking))
    return AlertRaised(alert=raised, only_if_given_up=True, names_delivery=True)


class Run(Protocol):
    """Runs a coroutine to its end."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


class Life(RuleBasedStateMachine):
    """Two rows through everything that the protocol allows."""

    claims: Bundle[int] = Bundle("claims")

    def __init__(self, conn: Connection, run: Run) -> None:
        super().__init__()
        self.conn = conn
        self.run = run
        self.now = 0
        self.rows: list[model.Row | None] = [None for _ in BOOKINGS]
        self.bookings: list[UUID] = []
        self.made: list[tuple[Claim, model.Taken, int]] = []

    @initialize()
    def begin(self) -> None:
        self.run(rows.empty(self.conn))
        self.bookings = [self.run(insert_booking(self.conn)) for _ in BOOKINGS]
        for booking in BOOKINGS:
            self.request(booking)

    @rule(booking=st.sampled_from(BOOKINGS))
    def request(self, booking: int) -> None:
        version = self.run(
            store.request_sync(self.conn, self.bookings[booking], reason=Reason.STRIPE)
        )
        row = self.rows[booking] = model.request(self.rows[booking], self.now)
        assert version == row.requested

    @rule(target=claims, owner=OWNERS)
    def claim(self, owner: WorkerId) -> MultipleResults[int]:
        return multiple(*self._claim(owner))

    @precondition(lambda self: self._known())
    @rule(target=claims, owner=OWNERS, data=st.data(), probe=st.booleans())
    def claim_one(
        self, owner: WorkerId, data: st.DataObject, *, probe: bool
    ) -> MultipleResults[int]:
        booking = data.draw(st.sampled_from(self._known()))
        made = self.run(
            store.claim_one(
                self.conn,
                self._delivery(booking),
                owner=owner,
                lease=TICK * LEASE_TICKS,
                max_attempts=MOST_ATTEMPTS,
                probe=probe,
            )
        )
        claims = [] if made is None else [made]
        return multiple(*self._claimed(claims, owner, [booking], probe=probe))

    @precondition(lambda self: self._next() is not None)
    @rule(
        target=claims,
        owner=OWNERS,
        results=st.lists(st.tuples(ANY_OUTCOME, ANY_OUTCOME), min_size=1, max_size=4),
        asked=st.booleans(),
    )
    def work(
        self, owner: WorkerId, results: list[tuple[Outcome, Outcome]], *, asked: bool
    ) -> MultipleResults[int]:
        """Take up what is due, again and again; ``asked``: for something newer, the first time."""
        new: list[int] = []
        for number, outcomes in enumerate(results):
            ticks = self._next()
            if ticks is None:
                break
            self._pass(ticks)
            taken = self._claim(owner)
            if asked and number == 0:
                self.request(self.made[taken[0]][2])
            self._settle(list(zip(taken, outcomes, strict=False)))
            self.the_rows_are_as_the_model_says()
            new += taken
        return multiple(*new)

    @rule(of=claims)
    def extend(self, of: int) -> None:
        claim, taken, booking = self.made[of]
        row = self._known_row(booking)
        after = model.extend(row, taken, self.now)
        extended = self.run(
            store.extend(self.conn, [claim], owner=WorkerId(taken.owner), lease=TICK * LEASE_TICKS)
        )
        assert not extended.locked
        assert (claim.fence in extended.renewed) == (after is not None)
        self.rows[booking] = after or row

    @rule(of=claims, outcome=ANY_OUTCOME)
    def settle_any(self, of: int, outcome: Outcome) -> None:
        self._settle([(of, outcome)])

    @precondition(lambda self: self._stale())
    @rule(data=st.data(), outcome=ANY_OUTCOME)
    def settle_an_older_claim_of_the_owners(self, data: st.DataObject, outcome: Outcome) -> None:
        self._settle([(data.draw(st.sampled_from(self._stale())), outcome)])

    @precondition(lambda self: self._owned())
    @rule(outcome=ANY_OUTCOME, other=ANY_OUTCOME)
    def settle_the_owners(self, outcome: Outcome, other: Outcome) -> None:
        owned = self._owned()
        mine = [of for of in owned if self.made[of][1].owner == self.made[owned[0]][1].owner]
        self._settle(list(zip(mine, (outcome, other), strict=False)))

    @precondition(lambda self: self._known())
    @rule(data=st.data(), late=st.booleans())
    def requeue(self, data: st.DataObject, *, late: bool) -> None:
        """``late``: the row has changed since the list was made."""
        booking = data.draw(st.sampled_from(self._known()))
        row = self._known_row(booking)
        after = None if late else model.requeue(row, self.now)
        done = self.run(
            operations.apply(self.conn, [self._item(booking, changed=late)], BY_A_PERSON)
        )
        assert len(done.requeued) == (after is not None)
        self.rows[booking] = after or row

    @precondition(lambda self: self._known())
    @rule(data=st.data(), late=st.booleans())
    def discard(self, data: st.DataObject, *, late: bool) -> None:
        booking = data.draw(st.sampled_from(self._known()))
        row = self._known_row(booking)
        after = None if late else model.discard(row, self.now)
        done = self.run(discard(self.conn, [self._item(booking, changed=late)], BY_A_PERSON))
        assert len(done.discarded) == (after is not None)
        self.rows[booking] = after or row

    @rule(ticks=st.integers(min_value=1, max_value=LEASE_TICKS + 1))
    def time_passes(self, ticks: int) -> None:
        self._pass(ticks)

    @precondition(lambda self: self._owned())
    @rule()
    def leases_end(self) -> None:
        self._pass(LEASE_TICKS)

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        found = self.run(rows.read(self.conn, self.now))
        for booking, row in zip(self.bookings, self.rows, strict=True):
            held = found.pop(booking, None)
            assert (None if held is None else held.as_model) == row
        assert not found

    def _claim(self, owner: WorkerId) -> list[int]:
        made = self.run(
            claim_all(
                self.conn,
                owner,
                destination=Destination.GUESTLY,
                lease=TICK * LEASE_TICKS,
                max_attempts=MOST_ATTEMPTS,
            )
        )
        return self._claimed(made, owner, BOOKINGS)

    def _claimed(
        self, made: Sequence[Claim], owner: WorkerId, among: Sequence[int], *, probe: bool = False
    ) -> list[int]:
        claims = {claim.key: claim for claim in made}
        new = []
        for booking in among:
            row = self.rows[booking]
            claim = claims.pop(str(self.bookings[booking]), None)
            assert (claim is not None) == (
                row is not None and model.claimable(row, self.now, probe=probe)
            )
            if row is None or claim is None:
                continue
            assert claim.lost_owner == row.owner
            assert claim.fence not in {before.fence for before, *_ in self.made}
            after = model.claim(row, self.now, owner=owner, fence=claim.fence)
            taken = model.Taken(
                owner=owner,
                fence=claim.fence,
                version=after.requested,
                attempts=after.attempts,
                round=after.round,
                failed=after.failed,
                at=self.now,
            )
            assert (claim.version, claim.attempts, claim.round) == (
                taken.version, taken.attempts, taken.round,
            )  # fmt: skip
            self.rows[booking] = after
            new.append(len(self.made))
            self.made.append((claim, taken, booking))
        assert not claims
        return new

    def _settle(self, results: Sequence[tuple[int, Outcome]]) -> None:
        owner = self.made[results[0][0]][1].owner
        finished, after = [], {}
        for of, outcome in results:
            claim, taken, booking = self.made[of]
            row = self._known_row(booking)
            after[claim.id] = (booking, row, model.settle(row, taken, outcome, self.now))
            result = Result(
                outcome=outcome,
                booking_id=self.bookings[booking],
                effects=(told(self.bookings[booking]),),
            )
            finished.append(Finished(claim=claim, result=result, seconds=0.1))
        done = self.run(settle(self.conn, finished, owner=WorkerId(owner), policies=POLICIES))
        accepted = {item.claim.id for item in done.accepted}
        assert accepted == {each for each, (_, _, new) in after.items() if new is not None}
        for booking, row, new in after.values():
            self.rows[booking] = new or row

    def _owned(self) -> list[int]:
        """The claims whose rows are still theirs."""
        return [
            of
            for of, (_, taken, booking) in enumerate(self.made)
            if (row := self.rows[booking]) is not None and model.is_ours(row, taken)
        ]

    def _stale(self) -> list[int]:
        """Older claims of the workers whose rows they are now."""
        owned = {(self.made[of][2], self.made[of][1].owner): of for of in self._owned()}
        return [
            of
            for of, (_, taken, booking) in enumerate(self.made)
            if owned.get((booking, taken.owner), of) != of
        ]

    def _known(self) -> list[int]:
        return [booking for booking in BOOKINGS if self.rows[booking] is not None]

    def _known_row(self, booking: int) -> model.Row:
        row = self.rows[booking]
        assert row is not None
        return row

    def _next(self) -> int | None:
        """Ticks until a row can be claimed; None: it takes more than time."""
        waits = [
            max(row.due, row.due if row.lease is None else row.lease) - self.now
            for row in self.rows
            if row is not None and row.due is not None
        ]
        return max(min(waits), 0) if waits else None

    def _pass(self, ticks: int) -> None:
        if ticks:
            self.run(rows.let_pass(self.conn, ticks))
            self.now += ticks

    def _delivery(self, booking: int) -> DeliveryId:
        found = self.run(
            store.find(self.conn, destination=Destination.GUESTLY, key=str(self.bookings[booking]))
        )
        assert found is not None
        return found

    def _item(self, booking: int, *, changed: bool) -> Item:
        found = self.run(rows.read(self.conn, self.now))[self.bookings[booking]]
        return rows.item(self.bookings[booking], found.raw, changed=changed)


@pytest.mark.timeout(240)
def test_the_protocol_does_what_its_model_says(database_url: str) -> None:
    with asyncio.Runner() as runner:
        conn = runner.run(connect(database_url, application_name="model"))

        class Here(Life):
            def __init__(self) -> None:
                super().__init__(conn, runner.run)

        try:
            run_state_machine_as_test(
                Here, settings=hypothesis.settings(max_examples=35, stateful_step_count=40)
            )
        finally:
            runner.run(conn.close())
