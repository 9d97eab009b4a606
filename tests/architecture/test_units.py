"""The units of deploy/systemd: what systemd itself says of them, and what they promise."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from outbox_worker.settings_catalogue import SETTINGS
from tests.support_source import ROOT

UNITS = ROOT / "deploy" / "systemd"
SERVICES = ("outbox-worker.service", "webhook-receiver.service", "outbox-alert@.service")
WORST_EXPOSURE = 1.5
INSTALLED = "/opt/booking-outbox"
#: Secrets that no long-running process reads.
OF_NO_UNIT = {"STRIPE_SECRET_KEY"}
OF_THE_RECEIVER = {"DATABASE_URL", "STRIPE_WEBHOOK_SECRET"}
OF_THE_WORKER = {
    name for name, setting in SETTINGS.items() if setting.secret and name not in OF_NO_UNIT
} - {"STRIPE_WEBHOOK_SECRET"}


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze here")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.split()[1]) < 250:
        pytest.skip("this systemd-analyze cannot look at files (--offline came with 250)")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=50, check=False
    )


def values(unit: str, name: str) -> list[str]:
    text = (UNITS / unit).read_text(encoding="utf-8")
    return re.findall(rf"^{name}=(.*)$", text, flags=re.MULTILINE)


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    # the programs must exist: they do in a copy of the installation
    installed = tmp_path / "installed"
    for program in (
        ".venv/bin/outbox",
        ".venv/bin/webhook-receiver",
        "deploy/systemd/outbox-alert",
    ):
        path = installed / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n", encoding="utf-8")
        path.chmod(0o755)
    copies = []
    for unit in UNITS.iterdir():
        if unit.suffix in {".service", ".socket"}:
            copy = tmp_path / unit.name
            text = unit.read_text(encoding="utf-8")
            copy.write_text(text.replace(INSTALLED, str(installed)), encoding="utf-8")
            copies.append(str(copy))

    done = analyze("verify", "--man=no", *copies)

    assert len(copies) == 4
    # what the machine's own units have to be told about is not ours
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "outbox" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_a_fault_in_a_unit_would_be_found(tmp_path: Path) -> None:
    unit = tmp_path / "wrong.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nRestart=sometimes\n", encoding="utf-8")

    assert str(unit) in analyze("verify", "--man=no", str(unit)).stderr


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_is_exposed_as_little_as_can_be(unit: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(UNITS / unit))

    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= WORST_EXPOSURE, done.stdout


@pytest.mark.parametrize(
    ("unit", "secrets"),
    [
        ("outbox-worker.service", OF_THE_WORKER),
        ("webhook-receiver.service", OF_THE_RECEIVER),
        ("outbox-alert@.service", {"ALERT_CHAT_WEBHOOK_URL"}),
    ],
)
def test_each_service_is_given_its_secrets_as_credentials_and_no_others(
    unit: str, secrets: set[str]
) -> None:
    loaded = dict(value.split(":", 1) for value in values(unit, "LoadCredential"))

    assert loaded == {name: f"/etc/booking-outbox/credentials/{name}" for name in secrets}
    # without a stand-in, a file that is missing would keep the service from starting
    assert sorted(values(unit, "SetCredential")) == sorted(f"{name}:\\n" for name in secrets)
    assert not [line for line in values(unit, "Environment") if line.split("=")[0] in SETTINGS]


@pytest.mark.parametrize("unit", SERVICES[:2])
def test_a_service_is_restarted_for_ever_unless_its_settings_are_wrong(unit: str) -> None:
    assert values(unit, "Type") == ["notify"]
    assert values(unit, "Restart") == ["on-failure"]
    assert values(unit, "RestartPreventExitStatus") == ["2"]
    assert values(unit, "StartLimitIntervalSec") == ["0"]
    assert values(unit, "OnFailure") == ["outbox-alert@%N.service"]
    assert values(unit, "WatchdogSec") != []


def test_the_worker_is_given_the_time_that_its_shutdown_takes_by_default() -> None:
    default = SETTINGS["WORKER_SHUTDOWN_SECONDS"].default
    assert default is not None

    # cutting calls off and the last settle come after it
    (stop,) = values("outbox-worker.service", "TimeoutStopSec")
    assert int(stop) >= int(default) + 15


def test_the_socket_listens_where_the_receiver_would_by_itself() -> None:
    assert values("webhook-receiver.socket", "ListenStream") == [
        SETTINGS["RECEIVER_ADDRESS"].default
    ]


def test_the_alert_is_a_script_without_faults() -> None:
    script = UNITS / "outbox-alert"

    assert script.stat().st_mode & 0o111 == 0o111
    subprocess.run(["/bin/sh", "-n", str(script)], check=True)
