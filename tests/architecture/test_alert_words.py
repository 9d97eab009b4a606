"""What alerts tell people to do can be done, and every kind is explained."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import cast

import click
import pytest

from outbox_worker.alerts import words
from outbox_worker.alerts.alert import AlertKind, Incident
from outbox_worker.cli.root import outbox
from outbox_worker.outbox.delivery import State
from tests.support_alert import NOW, make_incident, make_named, make_stay
from tests.support_source import ROOT


def incidents(kind: AlertKind) -> Iterator[Incident]:
    facts = {"code": "listing_missing", "pms": "guestly"}
    rejected = make_named(state=State.REJECTED)
    yield make_incident(kind=kind, stay=make_stay(), facts=facts)
    yield make_incident(kind=kind, facts={"event_id": "evt_1Ab"})
    yield make_incident(kind=kind, facts={})
    yield make_incident(rejected, kind=kind, facts=facts)
    yield make_incident(rejected, make_named(2), kind=kind, facts=facts)
    yield make_incident(make_named(stay=None, key="evt_1Ab"), kind=kind, resolved_at=NOW)


def commands(kind: AlertKind) -> set[str]:
    return {
        command
        for incident in incidents(kind)
        for step in words.of(incident).steps
        for command in step.commands
    }


@pytest.mark.parametrize("kind", AlertKind)
def test_every_command_that_an_alert_names_is_one_of_ours(kind: AlertKind) -> None:
    found = commands(kind)
    assert found
    for text in found:
        program, *arguments = shlex.split(text)
        assert program == "outbox"
        name, command = "outbox", cast("click.Command", outbox)
        while isinstance(command, click.Group):
            context = click.Context(command)
            found_name, chosen, arguments = command.resolve_command(context, arguments)
            assert chosen is not None, text
            name, command = found_name or "", chosen
        command.make_context(name, arguments).close()


def test_the_reference_explains_every_kind_and_no_other() -> None:
    page = (ROOT / "docs/reference/alerts.md").read_text(encoding="utf-8")
    table = page.split("## Kinds")[1].split("## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)) == set(AlertKind)
