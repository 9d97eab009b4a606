"""`outbox config show`: values, where they come from, and what is wrong; never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox_worker.operations.configuration import (
    Configuration,
    EffectiveSetting,
    Source,
    read_configuration,
)
from outbox_worker.settings_catalogue import SETTINGS
from tests.support_settings import LIVE

DATABASE = "postgresql://app:hunter2@db.example.com:6543/site?application_name=hunter3"


def setting(found: Configuration, name: str) -> EffectiveSetting:
    (one,) = (each for each in found.settings if each.name == name)
    return one


def test_every_setting_is_shown_once_and_in_its_order() -> None:
    found = read_configuration({"DATABASE_URL": DATABASE})

    assert [each.name for each in found.settings] == list(SETTINGS)
    assert found.faults == ()


def test_a_value_comes_from_where_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key-hunter2\n")
    (tmp_path / "SMTP_URL").write_text("smtps://mail.example.com\n")
    environ = {
        "DATABASE_URL": DATABASE,
        "GUESTLY_SYNC_ENABLED": "true",
        "LOG_LEVEL": "debug",
        "GUESTLY_API_KEY_FILE": str(tmp_path / "key"),
        "CREDENTIALS_DIRECTORY": str(tmp_path),
    }

    found = read_configuration(environ, from_env_file=frozenset({"LOG_LEVEL"}))

    expected = {
        "GUESTLY_SYNC_ENABLED": (Source.ENVIRONMENT, "true"),
        "LOG_LEVEL": (Source.ENV_FILE, "debug"),
        "GUESTLY_API_KEY": (Source.FILE, "set, 11 characters"),
        "SMTP_URL": (Source.CREDENTIAL, "set, 24 characters"),
        "SYNC_MAX_ATTEMPTS": (Source.DEFAULT, "3"),
        "STRIPE_ACCOUNT": (Source.UNSET, None),
    }
    for name, (source, value) in expected.items():
        one = setting(found, name)
        assert (one.source, one.value) == (source, value), name


@pytest.mark.parametrize("name", [name for name, each in SETTINGS.items() if each.secret])
def test_no_secret_is_shown(name: str) -> None:
    text = {"DATABASE_URL": DATABASE, "DATABASE_LISTEN_URL": DATABASE}.get(name, "hunter2-hunter3")

    shown = repr(read_configuration({"DATABASE_URL": DATABASE, name: text}))

    assert "hunter" not in shown


def test_of_a_database_its_host_port_and_name_are_shown() -> None:
    found = read_configuration(
        {"DATABASE_URL": DATABASE, "STRIPE_WEBHOOK_SECRET": "whsec_1,whsec_2"}
    )

    assert setting(found, "DATABASE_URL").value == "set, database site on db.example.com:6543"
    assert setting(found, "STRIPE_WEBHOOK_SECRET").value == "set, 2 secrets"


def test_all_faults_are_told_at_once_and_no_wrong_value(tmp_path: Path) -> None:
    environ = {
        **LIVE,
        "GUESTLY_API_KEY_FILE": str(tmp_path / "nothing"),
        "GUESTLY_TEST_MODE": "hunter2",
        "WORKER_LEASE_SECONDS": "1",
        "RETENTION_DAYS": "hunter2",
        "RECEIVER_ADDRESS": "hunter2",
        "LOG_FORMAT": "hunter2",
        "LOG_LEVL": "hunter2",
    }

    found = read_configuration(environ)

    named = {fault.partition(" ")[0] for fault in found.faults}
    assert named == {
        "DATABASE_URL", "GUESTLY_API_KEY", "GUESTLY_TEST_MODE", "WORKER_LEASE_SECONDS",
        "RETENTION_DAYS", "RECEIVER_ADDRESS", "LOG_FORMAT", "LOG_LEVL",
    }  # fmt: skip
    assert "hunter2" not in repr(found)
    assert setting(found, "GUESTLY_TEST_MODE").faulty
    assert setting(found, "GUESTLY_TEST_MODE").value is None


def test_what_the_receiver_alone_needs_is_a_note() -> None:
    found = read_configuration({"DATABASE_URL": DATABASE})

    assert found.notes == (
        "STRIPE_WEBHOOK_SECRET is not set: webhook-receiver needs it, nothing else does",
    )
    assert read_configuration({"DATABASE_URL": DATABASE, "STRIPE_WEBHOOK_SECRET": "sk_1"}).faults


def test_an_empty_address_is_off_and_an_empty_anything_else_is_unset() -> None:
    found = read_configuration({"DATABASE_URL": DATABASE, "METRICS_ADDRESS": "", "PMS": ""})

    metrics, pms = setting(found, "METRICS_ADDRESS"), setting(found, "PMS")
    assert (metrics.source, metrics.value) == (Source.ENVIRONMENT, None)
    assert (pms.source, pms.value) == (Source.DEFAULT, "guestly")


@pytest.mark.parametrize(
    ("more", "noted"),
    [
        ({}, True),
        ({"EMAIL_API_KEY": "hunter2", "EMAIL_FROM": "a@example.com"}, False),
        ({"SMTP_URL": "smtps://mail.example.com", "EMAIL_FROM": "a@example.com"}, False),
        ({"SMTP_URL": "hunter2"}, False),
        ({"ADMIN_ALERT_EMAIL": ""}, False),
    ],
    ids=["no way", "api", "smtp", "a way that is wrong", "nobody to write to"],
)
def test_mail_that_nothing_can_send_is_noted(more: dict[str, str], noted: bool) -> None:
    environ = {
        "DATABASE_URL": DATABASE,
        "STRIPE_WEBHOOK_SECRET": "whsec_1",
        "ADMIN_ALERT_EMAIL": "ops@example.com",
    }

    found = read_configuration(environ | more)

    assert ["no mail can be sent" in note for note in found.notes] == [True] * noted


def test_with_guesty_the_quiet_period_that_takes_effect_is_shown_and_a_shorter_one_noted() -> None:
    environ = {"DATABASE_URL": DATABASE, "STRIPE_WEBHOOK_SECRET": "whsec_1", "PMS": "Guesty"}

    unset = read_configuration(environ)
    short = read_configuration({**environ, "PMS_QUIET_SECONDS": "89.5"})
    guestly = read_configuration({**environ, "PMS": "guestly", "PMS_QUIET_SECONDS": "5"})

    quiet = setting(unset, "PMS_QUIET_SECONDS")
    assert (quiet.source, quiet.value, unset.notes) == (Source.DEFAULT, "90", ())
    assert short.faults == ()
    assert [note.partition(":")[0] for note in short.notes] == ["PMS_QUIET_SECONDS is below 90"]
    assert guestly.notes == ()
    assert setting(guestly, "PMS_QUIET_SECONDS").value == "5"
