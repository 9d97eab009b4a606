"""The documents' commands, typed as they stand there against real processes."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support_documents import shell
from tests.support_port import kept_ports
from tests.support_quickstart import DATABASE, VALUES, Reader, site
from tests.support_service_manager import Services
from tests.support_source import ROOT

#: Where the reader's machine differs from this one, ports aside.
_TOOLS = ("systemctl", "systemd-run", "journalctl")
_PATIENCE_S = 240


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Paths and ports of the document, and where they are here."""
    return {
        "/opt/booking-outbox/.venv/bin": str(Path(sys.executable).parent),
        "/opt/booking-outbox": str(ROOT),
        "/etc/booking-outbox": str(tmp_path / "etc"),
        "/etc/systemd/system": str(tmp_path / "units"),
        "/usr/local/bin/outbox": str(tmp_path / "bin" / "outbox"),
        "/var/lib/stand-in": str(tmp_path / "stand-in"),
        **{
            f"127.0.0.1:{told}": f"127.0.0.1:{port}"
            for told, port in zip((8080, 8099, 8025), kept_ports(3), strict=True)
        },
        # the stand-ins' own programs name their ports otherwise
        "## Ours\n": "## Ours\nMETRICS_ADDRESS=\n",
    }


@pytest.fixture
def services(tmp_path: Path, places: dict[str, str]) -> Iterator[Services]:
    """A stand-in for systemd, and its commands in a folder for PATH."""
    for name in ("bin", "units", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "paths.json").write_text(json.dumps(places), encoding="utf-8")
    for name in _TOOLS:
        script = tmp_path / "bin" / name
        script.write_text(
            f"#!/bin/sh\ncd {ROOT}\n"
            f'exec {sys.executable} -m tests.support_service_manager {name} "$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)
    found = Services(tmp_path)
    with contextlib.ExitStack() as opened:
        opened.callback(found.stop_all)
        yield found


@pytest.mark.timeout(_PATIENCE_S)
def test_the_quickstart_ends_with_bookings_synced_services_that_run_and_a_mail(
    tmp_path: Path, places: dict[str, str], services: Services, server_url: str
) -> None:
    pms = places["127.0.0.1:8099"]
    mailbox = places["127.0.0.1:8025"].rpartition(":")[2]
    environ = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "OUTBOX_TEST_SERVICES": str(tmp_path),
    }
    with site(server_url) as url, shell(["bash"], environ) as typed:
        values = {
            **VALUES,
            DATABASE: url,
            '("127.0.0.1", 8025)': f'("127.0.0.1", {mailbox})',
            "simulator serve ": f"simulator serve --port {pms.rpartition(':')[2]} ",
            **places,
        }
        reader = Reader(typed, url, values, services.log)

        reader.follow(without="install")

        reader.check(f"http://{pms}")
        assert services.pid("outbox-worker") is not None
        assert services.pid("webhook-receiver") is not None
