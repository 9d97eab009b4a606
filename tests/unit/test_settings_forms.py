from __future__ import annotations

from datetime import timedelta

import pytest

from outbox_worker.settings import SettingsReader
from tests.support_settings import LIVE, faults_of, only_fault


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "On", "false", "0", "no", "OFF"])
def test_eight_words_mean_true_or_false(text: str) -> None:
    reader = SettingsReader({"PMS_LOOKUP_BEFORE_CREATE": text})

    assert reader.sync().lookup_before_create is (text.lower() in {"true", "1", "yes", "on"})
    reader.finish()


@pytest.mark.parametrize("text", ["ture", "y", "t", "2", "enabled", "nil"])
def test_any_other_word_for_a_truth_value_is_a_fault_and_never_false(text: str) -> None:
    fault = only_fault({"GUESTLY_TEST_MODE": text}, SettingsReader.sync)

    assert fault.startswith("GUESTLY_TEST_MODE is neither true nor false")


def test_the_base_address_loses_its_last_slash() -> None:
    assert SettingsReader(LIVE).sync().api_url == "https://pms.example.com/v1"


@pytest.mark.parametrize(
    "url", ["http://localhost:9", "http://127.0.0.1:9/x", "http://[::1]:9", "https://a.example"]
)
def test_plain_http_is_allowed_to_this_machine(url: str) -> None:
    assert faults_of({"GUESTLY_API_URL": url}, SettingsReader.sync) == ()
    assert faults_of({"EMAIL_API_ENDPOINT": url}, SettingsReader.alerts) == ()


@pytest.mark.parametrize(
    "url",
    [
        "http://pms.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "http://127.0.0.1.example.com",
        "ftp://localhost",
        "pms.example.com",
        "https://",
        "https://user:hunter2@pms.example.com",
        "https://pms.example.com:99999",
        "https://pms.example\n.com",
        "https://[::1",
    ],
)
def test_an_address_that_would_leak_or_cannot_work_is_refused(url: str) -> None:
    assert only_fault({"GUESTLY_API_URL": url}, SettingsReader.sync).startswith("GUESTLY_API_URL ")
    assert faults_of({"EMAIL_API_ENDPOINT": url}, SettingsReader.alerts) != ()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://hooks.example.com/services/T0/B0/x", "write https://"),
        ("https://discord.com/api/webhooks/1/abc", "add /slack at its end"),
        ("https://canary.discordapp.com/api/webhooks/1/abc/github", "add /slack at its end"),
        ("chat.example.com", "is not a usable address"),
    ],
)
def test_a_webhook_that_a_chat_would_not_take_is_refused_and_not_shown(
    url: str, words: str
) -> None:
    fault = only_fault({"ALERT_CHAT_WEBHOOK_URL": url}, SettingsReader.alerts)

    assert words in fault
    assert url not in fault


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T0/B0/x",
        "https://discord.com/api/webhooks/1/abc/slack",
        "https://notdiscord.com/hooks/1",
        "http://127.0.0.1:8065/hooks/1",
    ],
)
def test_addresses_that_are_keys_themselves_are_kept_as_secrets(url: str) -> None:
    reader = SettingsReader({"ALERT_CHAT_WEBHOOK_URL": url, "HEARTBEAT_URL": url})
    chat, heartbeat = reader.alerts().chat_webhook_url, reader.worker().heartbeat_url
    reader.finish()

    assert chat is not None
    assert chat.reveal() == url
    assert heartbeat == chat
    assert url not in f"{chat} {heartbeat!r}"


def test_durations_take_decimals_in_the_unit_of_their_name() -> None:
    environ = {
        "PMS_QUIET_SECONDS": "0.25",
        "SYNC_REDRIVE_MINUTES": "1.5",
        "SYNC_REDRIVE_HOURS": "0",
        "BODY_RETENTION_DAYS": "2",
    }
    reader = SettingsReader(environ)

    assert reader.sync().quiet == timedelta(milliseconds=250)
    assert reader.sync().redrive_every == timedelta(seconds=90)
    assert reader.sync().redrive_for == timedelta(0)
    assert reader.retention().body_days == timedelta(days=2)
    reader.finish()


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e3", "15s", "1_0", "٣", "", "0x10"])
def test_a_number_in_any_other_form_is_a_fault(text: str) -> None:
    expected = ["PMS_TIMEOUT_SECONDS", "SYNC_MAX_ATTEMPTS"] if text else []
    environ = {"PMS_TIMEOUT_SECONDS": text, "SYNC_MAX_ATTEMPTS": text}

    faults = faults_of(environ, SettingsReader.sync)

    assert sorted(fault.split()[0] for fault in faults) == expected


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("0.0.0.0:80", "0.0.0.0", 80), ("[::1]:8080", "::1", 8080), ("localhost:0", "localhost", 0)],  # noqa: S104 - a value of the test, nothing is bound
)
def test_an_address_is_host_and_port(text: str, host: str, port: int) -> None:
    address = SettingsReader({"RECEIVER_ADDRESS": text}).receiver().address

    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["8080", ":8080", "::1:8080", "[x]:80", "host:65536", "ho st:1", "host:", "[127.0.0.1]:1"],
)
def test_anything_else_is_no_address(text: str) -> None:
    fault = only_fault({"RECEIVER_ADDRESS": text}, SettingsReader.receiver)

    assert fault.startswith("RECEIVER_ADDRESS ")


@pytest.mark.parametrize("text", [",", "whsec_a,", "whsec_a,,whsec_b", "sk_live_1", "whsec a"])
def test_signing_secrets_that_would_weaken_the_check_are_refused(text: str) -> None:
    fault = only_fault({"STRIPE_WEBHOOK_SECRET": text}, SettingsReader.stripe)

    assert fault.startswith("STRIPE_WEBHOOK_SECRET ")


def test_recipients_are_separated_by_commas_and_told_once() -> None:
    environ = {"ADMIN_ALERT_EMAIL": "ops@example.com, a.b+c@mail.example.org,ops@example.com"}

    alerts = SettingsReader(environ).alerts()

    assert alerts.recipients == ("ops@example.com", "a.b+c@mail.example.org")


@pytest.mark.parametrize(
    "text",
    [
        "ops@",
        "@example.com",
        "ops",
        "ops@example",
        "a b@example.com",
        "Ops <ops@example.com>",
        "ops@example.com\r\nBcc: x@example.com",
        "ops@example.com,,x@example.com",
        "ops@-example.com",
        "a..b@example.com",
    ],
)
def test_a_wrong_recipient_is_found_at_the_start_and_not_at_the_first_alert(text: str) -> None:
    fault = only_fault({"ADMIN_ALERT_EMAIL": text}, SettingsReader.alerts)

    assert fault.startswith("ADMIN_ALERT_EMAIL has an entry")


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("smtp://mail.example.com", True),
        ("smtps://user:p%40ss@mail.example.com:465", True),
        ("smtp://user:hunter2@mail.example.com:587?starttls", True),
        ("smtp://mail.example.com?tls=no", False),
        ("smtp://", False),
        ("mail.example.com:25", False),
        ("https://mail.example.com", False),
    ],
)
def test_a_mail_server_is_given_as_an_address(url: str, usable: bool) -> None:
    faults = faults_of({"SMTP_URL": url}, SettingsReader.alerts)

    assert [fault.split()[0] for fault in faults] == ([] if usable else ["SMTP_URL"])


@pytest.mark.parametrize("end", ["/v1", "/v1/", "/open/v2"])
def test_the_address_of_guesty_is_refused_with_a_version(end: str) -> None:
    environ = {"GUESTY_API_URL": f"https://open-api.guesty.com{end}"}

    fault = only_fault(environ, SettingsReader.sync)

    assert fault.startswith("GUESTY_API_URL ends with a version")
    assert "without the version" in fault
    right = {"GUESTY_API_URL": "http://127.0.0.1:8099/"}
    assert SettingsReader({**right, "PMS": "guesty"}).sync().api_url == "http://127.0.0.1:8099"
