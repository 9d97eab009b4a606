from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.outbox.delivery import Snapshot, State, state_of

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=1)
LATER = NOW + timedelta(minutes=1)
OWED = Snapshot(
    requested=1,
    delivered=0,
    due_at=EARLIER,
    failed_at=None,
    discarded_at=None,
    uncertain_at=None,
    attempts=0,
    lease_until=None,
)

moments = st.none() | st.sampled_from([EARLIER, NOW, LATER])
snapshots = st.builds(
    Snapshot,
    requested=st.integers(1, 3),
    delivered=st.integers(0, 3),
    due_at=moments,
    failed_at=moments,
    discarded_at=moments,
    uncertain_at=moments,
    attempts=st.integers(0, 4),
    lease_until=moments,
)


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (OWED, State.WAITING),
        (replace(OWED, attempts=1, due_at=LATER), State.RETRYING),
        (replace(OWED, attempts=1, uncertain_at=EARLIER), State.CHECKING),
        (replace(OWED, attempts=1, lease_until=LATER), State.SENDING),
        (replace(OWED, delivered=1, due_at=None, attempts=1), State.SYNCED),
        (replace(OWED, requested=2, delivered=1), State.WAITING),
        (replace(OWED, failed_at=EARLIER, due_at=LATER, attempts=3), State.FAILED),
        (replace(OWED, failed_at=EARLIER, due_at=None, attempts=1), State.REJECTED),
        (replace(OWED, discarded_at=EARLIER, due_at=None), State.DISCARDED),
    ],
)
def test_each_row_has_the_state_that_operators_expect(row: Snapshot, state: State) -> None:
    assert state_of(row, now=NOW, held=False) is state


@given(snapshots, st.booleans())
def test_a_live_lease_wins_over_everything(row: Snapshot, held: bool) -> None:
    leased = replace(row, lease_until=LATER)

    assert state_of(leased, now=NOW, held=held) is State.SENDING


@given(snapshots, st.booleans())
def test_an_expired_lease_changes_nothing(row: Snapshot, held: bool) -> None:
    at_rest = replace(row, lease_until=None)

    for expired in (EARLIER, NOW):
        state = state_of(replace(row, lease_until=expired), now=NOW, held=held)
        assert state is state_of(at_rest, now=NOW, held=held)


@given(snapshots)
def test_a_held_destination_shows_only_on_what_it_holds_back(row: Snapshot) -> None:
    free, held = (state_of(row, now=NOW, held=value) for value in (False, True))

    if free in {State.WAITING, State.RETRYING, State.CHECKING}:
        assert held is State.HELD
    else:
        assert held is free


@given(snapshots, st.booleans())
def test_given_up_is_failed_exactly_when_a_redrive_is_planned(row: Snapshot, held: bool) -> None:
    given_up = replace(row, failed_at=EARLIER, discarded_at=None, lease_until=None)

    state = state_of(given_up, now=NOW, held=held)

    assert state is (State.REJECTED if row.due_at is None else State.FAILED)


@given(snapshots, st.booleans())
def test_a_discarded_row_stays_discarded_whatever_it_was(row: Snapshot, held: bool) -> None:
    discarded = replace(row, discarded_at=EARLIER, lease_until=None)

    assert state_of(discarded, now=NOW, held=held) is State.DISCARDED
