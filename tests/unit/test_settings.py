from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.errors import SettingsError
from outbox_worker.settings import Address, LogFormat, LogLevel, Secret, SettingsReader
from outbox_worker.settings_catalogue import SETTINGS, known_names
from outbox_worker.settings_source import edits
from tests.support_settings import LIVE, Area, faults_of, only_fault

DATABASE = "postgresql://app:hunter2@db.example.com:5432/app"

AREAS: tuple[Area, ...] = (
    SettingsReader.database,
    SettingsReader.stripe,
    SettingsReader.sync,
    SettingsReader.worker,
    SettingsReader.alerts,
    SettingsReader.receiver,
    SettingsReader.retention,
    SettingsReader.log,
    SettingsReader.actor,
)


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    reader = SettingsReader({})
    sync, worker, alerts = reader.sync(), reader.worker(), reader.alerts()
    receiver, retention, log = reader.receiver(), reader.retention(), reader.log()
    reader.finish()

    assert (sync.enabled, sync.test_mode, sync.pms, sync.currency) == (
        False,
        True,
        "guestly",
        "EUR",
    )
    assert sync.timeout == timedelta(seconds=15)
    assert sync.quiet == timedelta(seconds=30)
    assert sync.lookup_before_create
    assert sync.max_attempts == 3
    assert (sync.retry_base, sync.retry_cap) == (timedelta(seconds=1), timedelta(minutes=5))
    assert (sync.redrive_every, sync.redrive_for) == (timedelta(hours=1), timedelta(hours=72))
    assert sync.circuit_failures == 5
    assert (sync.rate_per_second, sync.rate_per_minute, sync.rate_per_hour) == (15, 120, 5000)
    assert worker.concurrency == 10
    assert (worker.lease, worker.poll) == (timedelta(seconds=30), timedelta(seconds=1))
    assert worker.shutdown == timedelta(seconds=20)
    assert worker.metrics_address == Address(host="127.0.0.1", port=9464)
    assert alerts.recipients == ()
    assert alerts.api_endpoint == "https://api.sendgrid.com/v3/mail/send"
    assert receiver.address == Address(host="127.0.0.1", port=8080)
    assert (retention.days, retention.body_days) == (timedelta(days=365), timedelta(days=30))
    assert (log.format, log.level) == (LogFormat.AUTO, LogLevel.INFO)


def test_a_command_needs_only_the_settings_it_uses() -> None:
    assert faults_of({}, SettingsReader.receiver) == ()
    assert "DATABASE_URL is missing" in only_fault({}, SettingsReader.database)


def test_all_faults_are_told_at_once_and_each_only_once() -> None:
    environ = {
        "DATABASE_URL": "nonsense",
        "STRIPE_WEBHOOK_SECRET": "whsec_a",
        "BOOKING_CURRENCY": "euro",
        "GUESTLY_TEST_MODE": "ture",
        "PMS_TIMEOUT_SECONDS": "soon",
        "GUESTLY_SYNC_ENABLE": "true",
    }
    areas = (
        SettingsReader.database,
        SettingsReader.stripe,
        SettingsReader.sync,
        SettingsReader.worker,
    )

    faults = faults_of(environ, *areas)

    assert [fault.split()[0] for fault in faults] == [
        "DATABASE_URL",
        "BOOKING_CURRENCY",
        "GUESTLY_TEST_MODE",
        "PMS_TIMEOUT_SECONDS",
        "GUESTLY_SYNC_ENABLE",
    ]


def test_the_message_counts_the_faults_and_says_that_nothing_was_started() -> None:
    reader = SettingsReader({"LOG_LEVEL": "loud", "LOG_FORMAT": "xml"})
    reader.log()

    with pytest.raises(SettingsError, match=r"2 settings are wrong \(nothing was started\)"):
        reader.finish()


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_no_fault_prints_the_value_of_a_setting(name: str) -> None:
    canary = "\x01 hunter2,, @"
    faults = faults_of({name: canary}, *AREAS)

    assert faults
    assert "hunter2" not in " ".join(faults)


def test_secrets_show_themselves_only_when_asked() -> None:
    reader = SettingsReader({"DATABASE_URL": DATABASE})
    database = reader.database()

    assert "hunter2" not in f"{database} {database!r} {database.url} {database.url!s:>5}"
    assert database.url.reveal() == DATABASE
    assert database.url == Secret(DATABASE) != Secret("other")
    assert database.listen_url == database.url


def test_listening_can_use_a_direct_connection() -> None:
    direct = "host=db.example.com dbname=app password='hunter 2'"
    reader = SettingsReader({"DATABASE_URL": DATABASE, "DATABASE_LISTEN_URL": direct})

    assert reader.database().listen_url == Secret(direct)
    reader.finish()


def test_an_empty_value_counts_as_unset() -> None:
    reader = SettingsReader({"PMS_TIMEOUT_SECONDS": "  ", "GUESTLY_API_KEY": "", "LOG_LEVEL": ""})

    assert reader.sync().timeout == timedelta(seconds=15)
    assert reader.sync().api_key is None
    assert reader.log().level is LogLevel.INFO
    reader.finish()


def test_an_empty_metrics_address_turns_it_off() -> None:
    assert SettingsReader({"METRICS_ADDRESS": ""}).worker().metrics_address is None
    assert SettingsReader({}).worker().metrics_address is not None


def test_sending_for_real_needs_key_and_address() -> None:
    live = {"GUESTLY_SYNC_ENABLED": "true", "GUESTLY_TEST_MODE": "false"}

    faults = faults_of(live, SettingsReader.sync)

    assert [fault.split()[0] for fault in faults] == ["GUESTLY_API_URL", "GUESTLY_API_KEY"]
    assert faults_of(LIVE, SettingsReader.sync) == ()


@pytest.mark.parametrize("change", [{"GUESTLY_SYNC_ENABLED": "no"}, {"GUESTLY_TEST_MODE": "yes"}])
def test_key_and_address_are_not_needed_while_nothing_is_sent(change: dict[str, str]) -> None:
    without = {"GUESTLY_API_KEY": "", "GUESTLY_API_URL": ""}

    assert faults_of(LIVE | without | change, SettingsReader.sync) == ()


def test_the_pms_is_one_that_has_an_adapter() -> None:
    assert "write one of guestly, guesty" in only_fault({"PMS": "other"}, SettingsReader.sync)


def test_guesty_needs_its_own_credentials_and_no_other() -> None:
    guesty = {"GUESTLY_SYNC_ENABLED": "yes", "GUESTLY_TEST_MODE": "no", "PMS": "guesty"}
    missing = faults_of(guesty, SettingsReader.sync)

    assert [fault.partition(" ")[0] for fault in missing] == [
        "GUESTY_CLIENT_ID",
        "GUESTY_CLIENT_SECRET",
    ]
    assert not SettingsReader(guesty | {"GUESTY_CLIENT_ID": "id"}).sync().access
    keys = {"GUESTY_CLIENT_ID": "id", "GUESTY_CLIENT_SECRET": "secret"}
    assert faults_of(guesty | keys, SettingsReader.sync) == ()
    sync = SettingsReader(guesty | keys).sync()
    assert sync.access
    assert sync.api_url == "https://open-api.guesty.com"


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 30),
        ({"PMS": "guesty"}, 90),
        ({"PMS": "guesty", "PMS_QUIET_SECONDS": "30"}, 30),
        ({"PMS_QUIET_SECONDS": "5"}, 5),
    ],
)
def test_the_quiet_period_is_longer_where_answers_come_before_effects(
    environ: dict[str, str], seconds: int
) -> None:
    assert SettingsReader(environ).sync().quiet == timedelta(seconds=seconds)


@pytest.mark.parametrize(("pms", "least"), [("guestly", 2), ("guesty", 3)])
@pytest.mark.parametrize("window", ["SECOND", "MINUTE", "HOUR"])
def test_a_limit_of_calls_below_what_one_booking_takes_is_refused(
    pms: str, least: int, window: str
) -> None:
    """Nothing would ever be claimed under it."""
    name = f"PMS_RATE_PER_{window}"
    fault = only_fault({"PMS": pms, name: str(least - 1)}, SettingsReader.sync)
    assert fault == (
        f"{name} is {least - 1}, and one step of a booking can take {least} calls to"
        f" {pms.capitalize()}: set {least} or more, or 0 for no limit"
    )
    for fine in (0, least):
        assert faults_of({"PMS": pms, name: str(fine)}, SettingsReader.sync) == ()


def test_a_lease_shorter_than_two_calls_is_refused() -> None:
    fault = only_fault({"PMS_TIMEOUT_SECONDS": "15.1"}, SettingsReader.sync, SettingsReader.worker)

    assert fault.startswith("WORKER_LEASE_SECONDS is below twice PMS_TIMEOUT_SECONDS")
    longer = {"PMS_TIMEOUT_SECONDS": "15.1", "WORKER_LEASE_SECONDS": "30.2"}
    assert faults_of(longer, SettingsReader.sync, SettingsReader.worker) == ()


def test_a_cap_below_the_base_is_refused() -> None:
    environ = {"SYNC_RETRY_BASE_SECONDS": "10", "SYNC_RETRY_CAP_SECONDS": "9"}

    assert only_fault(environ, SettingsReader.sync).startswith("SYNC_RETRY_CAP_SECONDS is below")


def test_mode_and_account_of_stripe_are_optional() -> None:
    environ = {"STRIPE_WEBHOOK_SECRET": "whsec_a", "BOOKING_CURRENCY": "chf"}
    stripe = SettingsReader(environ).stripe()
    assert (stripe.livemode, stripe.account, stripe.currency) == (None, None, "CHF")

    stripe = SettingsReader(
        environ | {"STRIPE_LIVEMODE": "no", "STRIPE_ACCOUNT": "acct_1"}
    ).stripe()
    assert (stripe.livemode, stripe.account) == (False, "acct_1")
    assert "acct_" in only_fault(environ | {"STRIPE_ACCOUNT": "1"}, SettingsReader.stripe)


@pytest.mark.parametrize(
    "way", [{"EMAIL_API_KEY": "SG.x"}, {"SMTP_URL": "smtp://mail.example.com"}]
)
def test_mail_needs_a_sender_once_it_can_be_sent(way: dict[str, str]) -> None:
    environ = {"ADMIN_ALERT_EMAIL": "ops@example.com"}

    assert faults_of(environ, SettingsReader.alerts) == ()
    assert only_fault(environ | way, SettingsReader.alerts).startswith("EMAIL_FROM is missing")
    complete = environ | way | {"EMAIL_FROM": "outbox@example.com"}
    assert faults_of(complete, SettingsReader.alerts) == ()


@pytest.mark.parametrize("name", sorted(name for name in known_names() if len(name) > 9))
def test_a_name_one_letter_off_is_refused_with_the_right_one(name: str) -> None:
    fault = only_fault({name[:-3] + name[-2:]: "x"})

    assert "did you mean" in fault
    assert faults_of({name + "_OTHER": "x"}) == ()


@pytest.mark.parametrize("name", ["GUESTLY_SYNC_ENABLE", "guestly_sync_enabled", "DATABSAE_URL"])
def test_usual_slips_of_the_hand_are_recognised(name: str) -> None:
    assert f"{name} is not a setting" in only_fault({name: "x"})


def test_variables_of_the_host_are_none_of_our_business() -> None:
    host = dict.fromkeys(
        ("PWD", "PATH", "PGPASSWORD", "LANG", "HOSTNAME", "CREDENTIALS_DIRECTORY", "XDG_DATA_HOME"),
        "x",
    )
    empty = {"GUESTLY_SYNC_ENABLE": ""}

    assert faults_of(host | empty) == ()


@given(st.text("AB_", max_size=6), st.text("AB_", max_size=6))
def test_the_number_of_edits_is_a_distance(left: str, right: str) -> None:
    assert edits(left, left) == 0
    assert edits(left, right) == edits(right, left)
    assert abs(len(left) - len(right)) <= edits(left, right) <= max(len(left), len(right))
    assert edits(left + "A", left) == 1


@given(st.text(max_size=40))
def test_no_text_of_any_kind_breaks_the_reader(text: str) -> None:
    faults_of(dict.fromkeys(SETTINGS, text), *AREAS)


def test_a_name_of_the_hosts_own_is_left_alone_where_the_setting_is_given_too() -> None:
    environ = {"EMAIL_FROM": "alerts@example.com", "MAIL_FROM": "host@example.com"}

    assert faults_of(environ) == ()
    assert "did you mean EMAIL_FROM" in only_fault({"MAIL_FROM": "host@example.com"})
