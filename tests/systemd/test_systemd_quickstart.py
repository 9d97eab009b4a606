"""The quickstart, followed to the letter on a machine with a real systemd: see run.sh."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support_documents import shell
from tests.support_quickstart import DATABASE, VALUES, Reader, site
from tests.support_systemd import LEADER, RECEIVER, WORKER, Machine, machine, needs_systemd

pytestmark = needs_systemd


@pytest.fixture
def unit() -> Iterator[Machine]:
    with machine() as found:
        try:
            yield found
        finally:
            found.systemctl("stop", "stand-in-guestly", "stand-in-mailbox", check=False)


def test_it_ends_with_bookings_synced_services_that_run_and_a_mail(
    unit: Machine, server_url: str
) -> None:
    enter = ["nsenter", "--target", LEADER, "--all", "--", "bash"]
    environ = {"PATH": os.environ["PATH"], "HOME": "/root"}
    with site(server_url) as url, shell(enter, environ) as typed:
        reader = Reader(typed, url, {**VALUES, DATABASE: url}, unit.journal)

        # run.sh has installed it, as the document does
        reader.follow(without="install")

        reader.check("http://127.0.0.1:8099")
        for each in (WORKER, RECEIVER):
            assert unit.shown(each, "ActiveState") == "active"
            assert unit.shown(each, "NRestarts") == "0"
