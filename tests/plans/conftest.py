"""Two databases of the same kind and different size; the tests that need them run when asked for.

``make test-plans`` asks for them, with OUTBOX_TEST_PLANS=1: loading the large one takes longer than
many a test run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.plans.dataset import LARGE, SMALL, Dataset, load
from tests.plans.measure import Connection, connect
from tests.plans.states import Belief

_HERE = Path(__file__).parent
NewDatabase = Callable[[], AbstractContextManager[str]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("OUTBOX_TEST_PLANS") == "1":
        return
    left_out = {
        item for item in items if item.path.parent == _HERE and item.get_closest_marker("plans")
    }
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def small(new_database: NewDatabase) -> Iterator[tuple[Dataset, Connection]]:
    with new_database() as url:
        data = load(url, SMALL)
        with connect(url) as conn:
            yield data, conn


@pytest.fixture(scope="session")
def large(new_database: NewDatabase) -> Iterator[tuple[Dataset, Connection]]:
    with new_database() as url:
        data = load(url, LARGE)
        with connect(url) as conn:
            yield data, conn


@pytest.fixture(scope="session")
def belief(large: tuple[Dataset, Connection]) -> Belief:
    """What the planner of the large database believes."""
    return Belief(large[1])
