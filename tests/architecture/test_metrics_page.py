"""The page about metrics says what a worker exposes, no more and no less."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from outbox_worker.metrics import FAMILIES, Metrics, Now
from outbox_worker.outbox.outcome import AttemptOutcome
from tests.support_source import ROOT

NOW = Now(
    cycles=0,
    database_misses=0,
    cycle_age=timedelta(0),
    alive=True,
    reaches_database=True,
    listening=True,
    in_flight=0,
    worker="w",
    version="v",
)
PAGE = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")


def test_the_reference_page_lists_exactly_what_is_exposed() -> None:
    text = Metrics().render(NOW).decode()
    exposed = {
        sample.name: (family.type, tuple(sample.labels), family.documentation)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert exposed == {
        family.name: (family.kind.value, family.labels, family.about) for family in FAMILIES
    }
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line.startswith("| `outbox_")
    ]
    listed = {
        name.strip("`"): (kind, tuple(filter(None, labels.replace("`", "").split(", "))), about)
        for name, kind, labels, about in (row for row in rows if len(row) == 4)
    }
    assert listed == exposed


def test_the_reference_page_names_every_outcome() -> None:
    missing = [
        outcome
        for outcome in AttemptOutcome
        if f"`{outcome}`" not in PAGE and outcome is not AttemptOutcome.LOST
    ]
    assert missing == []
