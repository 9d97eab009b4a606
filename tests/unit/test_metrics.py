from __future__ import annotations

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from outbox_worker.metrics import Metrics, Now
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.outcome import AttemptOutcome

NOW = Now(
    cycles=7,
    database_misses=2,
    cycle_age=timedelta(seconds=1.5),
    alive=True,
    reaches_database=False,
    listening=True,
    in_flight=3,
    worker='host-"1"',
    version="0.1.0",
)


def rendered(metrics: Metrics) -> dict[tuple[str, ...], float]:
    text = metrics.render(NOW).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_is_counted_is_rendered() -> None:
    metrics = Metrics()
    metrics.attempt(Destination.GUESTLY, AttemptOutcome.HELD)
    metrics.attempt(Destination.GUESTLY, AttemptOutcome.HELD)
    metrics.attempt(Destination.EMAIL, AttemptOutcome.FAILED)
    metrics.given_up(Destination.GUESTLY)
    metrics.lease_lost(Destination.INBOX)
    metrics.settle_refused(Destination.GUESTLY)
    metrics.settle_failed(Destination.EMAIL)
    counted = {key: value for key, value in rendered(metrics).items() if value}
    assert counted == {
        ("outbox_attempts_total", "guestly", "held"): 2,
        ("outbox_attempts_total", "email", "failed"): 1,
        ("outbox_deliveries_given_up_total", "guestly"): 1,
        ("outbox_leases_lost_total", "inbox"): 1,
        ("outbox_settles_refused_total", "guestly"): 1,
        ("outbox_settles_failed_total", "email"): 1,
        ("outbox_cycles_total",): 7,
        ("outbox_database_misses_total",): 2,
        ("outbox_cycle_age_seconds",): 1.5,
        ("outbox_alive",): 1,
        ("outbox_listening",): 1,
        ("outbox_in_flight",): 3,
        ("outbox_worker_info", "0.1.0", 'host-"1"'): 1,
    }


def test_every_series_is_there_before_its_first_event() -> None:
    seen = rendered(Metrics())
    for destination in Destination:
        assert seen["outbox_attempts_total", destination, "rejected"] == 0
        assert seen["outbox_leases_lost_total", destination] == 0


def test_two_workers_of_one_process_do_not_share_their_counts() -> None:
    one, other = Metrics(), Metrics()
    one.given_up(Destination.GUESTLY)
    assert rendered(other)["outbox_deliveries_given_up_total", "guestly"] == 0
