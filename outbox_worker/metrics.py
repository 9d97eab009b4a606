"""What a worker counts, and its text for Prometheus.

One object per process, made by `wiring`. Counting needs no library; rendering imports it. What is
owed, parked or late is a matter of the database and not of one process: `outbox status` tells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.outcome import AttemptOutcome

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: Of what `Metrics.render` answers.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """A counter only grows until the process ends; a gauge is what is now."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric.

    Args:
        name: As it is queried; a counter's ends in ``_total``.
        about: One sentence.
        labels: Their names, in the order of the alphabet, as they are rendered.
    """

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()


ATTEMPTS = Family(
    name="outbox_attempts_total",
    kind=Kind.COUNTER,
    labels=("destination", "outcome"),
    about="Attempts that are on record, by how they ended.",
)
GIVEN_UP = Family(
    name="outbox_deliveries_given_up_total",
    kind=Kind.COUNTER,
    labels=("destination",),
    about="Deliveries that were given up or rejected; each has its alert.",
)
LEASES_LOST = Family(
    name="outbox_leases_lost_total",
    kind=Kind.COUNTER,
    labels=("destination",),
    about="Rows taken over from a worker that never settled them.",
)
SETTLES_REFUSED = Family(
    name="outbox_settles_refused_total",
    kind=Kind.COUNTER,
    labels=("destination",),
    about="Results that came too late and changed nothing: the row was no longer ours.",
)
SETTLES_FAILED = Family(
    name="outbox_settles_failed_total",
    kind=Kind.COUNTER,
    labels=("destination",),
    about="Tries to record a result that Postgres refused.",
)
CYCLES = Family(
    name="outbox_cycles_total",
    kind=Kind.COUNTER,
    about="Claim cycles that completed.",
)
DATABASE_MISSES = Family(
    name="outbox_database_misses_total",
    kind=Kind.COUNTER,
    about="Tries to reach Postgres, or cycles, that failed.",
)
CYCLE_AGE = Family(
    name="outbox_cycle_age_seconds",
    kind=Kind.GAUGE,
    about="Since the last completed cycle, or since the start before the first one.",
)
ALIVE = Family(
    name="outbox_alive",
    kind=Kind.GAUGE,
    about="1 while /healthz answers 200, else 0.",
)
REACHES_DATABASE = Family(
    name="outbox_database_reachable",
    kind=Kind.GAUGE,
    about="1 when the last cycle completed, 0 while the worker waits for Postgres.",
)
LISTENING = Family(
    name="outbox_listening",
    kind=Kind.GAUGE,
    about="1 while LISTEN is proved to deliver, 0 while the worker only polls.",
)
IN_FLIGHT = Family(
    name="outbox_in_flight",
    kind=Kind.GAUGE,
    about="Claims whose call runs now.",
)
WORKER_INFO = Family(
    name="outbox_worker_info",
    kind=Kind.GAUGE,
    labels=("version", "worker"),
    about="Always 1; which worker this is.",
)

FAMILIES = (
    ATTEMPTS,
    GIVEN_UP,
    LEASES_LOST,
    SETTLES_REFUSED,
    SETTLES_FAILED,
    CYCLES,
    DATABASE_MISSES,
    CYCLE_AGE,
    ALIVE,
    REACHES_DATABASE,
    LISTENING,
    IN_FLIGHT,
    WORKER_INFO,
)

_BY_DESTINATION = (GIVEN_UP, LEASES_LOST, SETTLES_REFUSED, SETTLES_FAILED)
#: Known ends of an attempt; a lost one is counted where it is taken over.
_OUTCOMES: tuple[AttemptOutcome, ...] = tuple(
    outcome for outcome in AttemptOutcome if outcome is not AttemptOutcome.LOST
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What is read at the moment of a question.

    Args:
        cycles, database_misses: Since the process began.
        cycle_age: Since the last completed cycle.
        alive, reaches_database, listening: See the metrics of these names.
        in_flight: Claims whose call runs.
        worker, version: Which worker this is.
    """

    cycles: int
    database_misses: int
    cycle_age: timedelta
    alive: bool
    reaches_database: bool
    listening: bool
    in_flight: int
    worker: str
    version: str


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        # a series that appears with its first event hides that event from rate()
        self._attempts = Counter({(name, end): 0 for name in Destination for end in _OUTCOMES})
        self._counts = {
            family.name: Counter(dict.fromkeys(Destination, 0)) for family in _BY_DESTINATION
        }

    def attempt(self, destination: Destination, outcome: AttemptOutcome) -> None:
        """An attempt is on record."""
        self._attempts[destination, outcome] += 1

    def given_up(self, destination: Destination) -> None:
        """A delivery was parked."""
        self._counts[GIVEN_UP.name][destination] += 1

    def lease_lost(self, destination: Destination) -> None:
        """A row was taken over from a worker that never settled it."""
        self._counts[LEASES_LOST.name][destination] += 1

    def settle_refused(self, destination: Destination) -> None:
        """A result changed nothing, because its row was not ours any more."""
        self._counts[SETTLES_REFUSED.name][destination] += 1

    def settle_failed(self, destination: Destination) -> None:
        """Postgres refused to record a result."""
        self._counts[SETTLES_FAILED.name][destination] += 1

    def render(self, now: Now) -> bytes:
        """Every metric in Prometheus's text format, `CONTENT_TYPE`."""
        from prometheus_client.exposition import generate_latest
        from prometheus_client.registry import Collector, CollectorRegistry

        samples = self._samples(now)

        class Everything(Collector):
            def collect(self) -> Iterable[Metric]:
                return (_family(family, samples[family.name]) for family in FAMILIES)

        registry = CollectorRegistry(auto_describe=False)
        registry.register(Everything())
        return generate_latest(registry)

    def _samples(self, now: Now) -> Mapping[str, Mapping[tuple[str, ...], float]]:
        alone: tuple[str, ...] = ()
        return {
            ATTEMPTS.name: {(name, end): count for (name, end), count in self._attempts.items()},
            **{
                family: {(name,): count for name, count in counts.items()}
                for family, counts in self._counts.items()
            },
            CYCLES.name: {alone: now.cycles},
            DATABASE_MISSES.name: {alone: now.database_misses},
            CYCLE_AGE.name: {alone: round(now.cycle_age.total_seconds(), 3)},
            ALIVE.name: {alone: now.alive},
            REACHES_DATABASE.name: {alone: now.reaches_database},
            LISTENING.name: {alone: now.listening},
            IN_FLIGHT.name: {alone: now.in_flight},
            WORKER_INFO.name: {(now.version, now.worker): 1},
        }


def _family(family: Family, samples: Mapping[tuple[str, ...], float]) -> Metric:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    made: CounterMetricFamily | GaugeMetricFamily
    if family.kind is Kind.COUNTER:
        made = CounterMetricFamily(family.name, family.about, labels=family.labels)
    else:
        made = GaugeMetricFamily(family.name, family.about, labels=family.labels)
    for labels, value in samples.items():
        made.add_metric(labels, value)
    return made
