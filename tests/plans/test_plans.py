"""What the statements cost beside a backlog and a long history, whatever the planner believes."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from tests.plans.cases import ENGINE, Case, Reads
from tests.plans.cases_read import PAYMENTS, PEOPLE
from tests.plans.dataset import Dataset
from tests.plans.measure import Connection, Measured, Mode, measure
from tests.plans.states import Belief, State

pytestmark = [pytest.mark.plans, pytest.mark.timeout(600)]

#: Tables that grow with every booking; the others hold a few rows.
GROWING = frozenset(
    {"delivery", "bookings", "reservation", "attempt", "request", "inbox_event", "alert_delivery"}
)
#: A table of a hundred times the rows may cost so many times the pages, as its indexes are deeper,
#: and so many more, as its rows lie further apart.
DEEPER = 2
APART = 100
#: Pages per row that a statement is given as its limit, and per row that is not finished.
PER_LIMITED = 2
PER_UNFINISHED = 5

#: People ask of a table that has been analyzed at some time; workers begin before that.
_ANALYZED = frozenset(State) - {State.NONE}

World = tuple[Dataset, Connection]


def _pairs() -> list[ParameterSet]:
    """Each statement with what the planner may believe, by belief: changing it takes seconds."""
    return [
        pytest.param(
            case,
            state,
            id=f"{case.name}-{state.name.lower()}",
        )
        for state in State
        for cases, states in (((*ENGINE, *PAYMENTS), State), (PEOPLE, _ANALYZED))
        for case in cases
        if state in states and (case.reads is not Reads.ALL or state is State.BACKLOG)
    ]


@pytest.fixture(scope="session")
def few() -> dict[str, int]:
    """Pages of each statement in the small database, measured once."""
    return {}


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize(
    ("case", "state"),
    _pairs(),
)
def test_a_statement_reads_what_it_is_about(
    case: Case,
    mode: Mode,
    state: State,
    small: World,
    large: World,
    few: dict[str, int],
    belief: Belief,
    request: pytest.FixtureRequest,
) -> None:
    if case.owed and (state, mode) == (State.NONE, Mode.CUSTOM):
        # which index is taken then depends on the version of Postgres
        request.applymarker(
            pytest.mark.xfail(reason=case.owed, raises=AssertionError, strict=False)
        )
    belief.put(state)
    if case.name not in few:
        few[case.name] = _cost(case, small, Mode.CUSTOM).buffers
    cost = _cost(case, large, mode)
    told = f"{state}; {mode}; small table {few[case.name]} pages\n{cost.text}"

    assert cost.buffers <= _most(case, large[0], few[case.name]), told
    if case.reads in {Reads.NAMED, Reads.LIMITED}:
        assert not cost.scanned & GROWING, told
    if case.reads is not Reads.ALL:
        assert case.uses <= cost.indexes, told


def _most(case: Case, data: Dataset, few: int) -> int:
    match case.reads:
        case Reads.NAMED:
            return DEEPER * few + APART
        case Reads.LIMITED:
            return PER_LIMITED * int(case.values(data)["limit"])
        case Reads.UNFINISHED:
            return PER_UNFINISHED * data.unfinished
        case Reads.ALL:
            return 2 * data.pages + PER_UNFINISHED * data.unfinished


def _cost(case: Case, world: World, mode: Mode) -> Measured:
    data, conn = world
    costs = [
        measure(conn, case.query, case.values(data), mode, before=case.before)
        # the first time somebody else's dead rows are cleaned away
        for _ in range(1 if case.reads is Reads.ALL else 2)
    ]
    return min(costs, key=lambda cost: cost.buffers)


def test_a_table_that_is_read_from_end_to_end_is_seen(large: World, belief: Belief) -> None:
    belief.put(State.BACKLOG)

    cost = measure(large[1], "list_missing", {"limit": 5})

    assert "bookings" in cost.scanned
    assert cost.buffers > large[0].scale / 10


@pytest.mark.parametrize(
    ("state", "due"),
    [(State.BACKLOG, 0.2), (State.IDLE, 0.0), (State.HALF, 0.5), (State.NONE, None)],
)
def test_the_planner_believes_what_it_is_told(
    large: World, belief: Belief, state: State, due: float | None
) -> None:
    belief.put(state)

    row = (
        large[1]
        .execute(
            "select (select 1 - null_frac from pg_stats where schemaname = 'outbox'"
            " and tablename = 'delivery' and attname = 'due_at') as due"
        )
        .fetchone()
    )
    large[1].commit()

    assert row is not None
    assert row["due"] == (None if due is None else pytest.approx(due, abs=0.02))
