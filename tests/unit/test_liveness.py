from __future__ import annotations

from datetime import UTC, datetime, timedelta

from outbox_worker.worker.health import health, readiness
from outbox_worker.worker.liveness import Liveness
from outbox_worker.worker.supervisor import longest_silence

LIMIT = timedelta(seconds=30)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_is_alive_until_no_sign_has_come_for_longer_than_the_limit() -> None:
    clock = Clock()
    liveness = Liveness(LIMIT, clock=clock)
    assert liveness.alive, "it has only just begun"
    clock.now += 30
    assert liveness.alive
    clock.now += 0.5
    assert not liveness.alive
    liveness.cycle_ended()
    assert liveness.alive


def test_failing_to_reach_postgres_is_a_sign_of_life_but_no_cycle() -> None:
    clock = Clock()
    liveness = Liveness(LIMIT, clock=clock)
    liveness.cycle_ended()
    clock.now += 20
    liveness.database_missed()
    clock.now += 20
    assert liveness.alive
    assert not liveness.reaches_database
    assert (liveness.age, liveness.cycle_age) == (timedelta(seconds=20), timedelta(seconds=40))
    assert (liveness.cycles, liveness.misses) == (1, 1)


def test_a_worker_is_ready_only_after_its_first_cycle_and_while_it_reaches_postgres() -> None:
    clock = Clock()
    liveness = Liveness(LIMIT, clock=clock)
    assert health(liveness) == (True, "ok")
    assert not readiness(liveness)[0]
    liveness.cycle_ended()
    assert readiness(liveness) == (True, "ok")
    liveness.database_missed()
    assert health(liveness) == (True, "ok")
    assert readiness(liveness)[0] is False


def test_a_worker_that_hangs_says_in_one_line_since_when() -> None:
    clock = Clock()
    liveness = Liveness(LIMIT, clock=clock)
    liveness.cycle_ended()
    clock.now += 3600
    well, line = health(liveness)
    assert not well
    since = datetime.now(UTC) - timedelta(hours=1)
    minutes = {f"{since - timedelta(minutes=back):%Y-%m-%d %H:%M}" for back in (0, 1)}
    assert any(minute in line for minute in minutes)
    assert "\n" not in line
    assert readiness(liveness) == (False, line)


def test_the_longest_silence_covers_a_cycle_a_pause_and_a_try_to_connect() -> None:
    assert longest_silence(timedelta(seconds=10)) == timedelta(seconds=25)
