from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.events import Event
from outbox_worker.redaction import LOG_KEYS, mask, redact
from outbox_worker.settings import LogFormat, LogLevel, LogSettings
from outbox_worker.telemetry import configure, logger

#: Ends in nothing that the masks could take for something else.
CANARIES = (
    "guest@example.com",
    "Guest.O'Neil+x@mail.example.org",
    "guest%40example.com",
    "+49 171 2345678",
    "+4917123456789",
    "0171 2345678",
    "(030) 123456-78",
    "0049 171 2345678",
    "(555) 010-9999",
    "sk_live_51Abcdefghij",
    "sk_test_51Abcdefghij",
    "rk_live_51Abcdefghij",
    "whsec_abcdefghijklmnop",
    "re_abcdefgh_ijklmnopqrs",
    "SG.abcdefghijkl.mnopqrstuvwx",
    "Bearer abcdef.ghijkl-mnop",
    "Basic dXNlcjpwYXNz",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "postgresql://app:hunter2@db.example.com/app",
    "postgresql://app:hun@ter/2@db.example.com/app",
    "host=db password=hunter2 dbname=app",
    "host=db password='hunter 2' dbname=app",
    '{"api_key": "hunter2"}',
    "Authorization: Bearer hunter2hunter2",
    "https://hooks.chat.example/services/T000/B000/hunter2",
    "https://chat.example/api/webhooks/1/hunter2",
    "DETAIL:  Failing row contains (1, Guestname,\n a second line).",
    "DETAIL:  Key (guest)=(Guestname) already exists.",
)
TELLTALES = (
    "guest@", "neil", "guest%40", "2345678", "171234567", "123456-78", "010-9999", "51abc",
    "klmnop", "ijklm", "mnopq", "dxnlc", "eyj", "hunter", "hun@", "ter/", "t000", "guestname",
    "second line",
)  # fmt: skip


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def configured(
    log_format: LogFormat = LogFormat.JSON, level: LogLevel = LogLevel.INFO
) -> io.StringIO:
    stream = io.StringIO()
    configure(LogSettings(format=log_format, level=level), service="worker", stream=stream)
    return stream


def refuse(sentence: str) -> None:
    raise ValueError(sentence)


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_line_is_one_json_object_with_the_agreed_keys_first() -> None:
    stream = configured()

    logger().info(Event.ALERT_SENT, message="✓ told", alert_id=7, count=2)

    line = only_line(stream)
    assert list(line) == ["ts", "level", "event", "service", "message", "alert_id", "count"]
    assert datetime.fromisoformat(line["ts"]).tzinfo is UTC
    assert (line["level"], line["event"], line["service"]) == ("info", "alert.sent", "worker")
    assert (line["message"], line["alert_id"], line["count"]) == ("✓ told", 7, 2)
    assert "✓ told" in stream.getvalue()


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
def test_no_canary_gets_through_whichever_way_it_comes(canary: str, log_format: LogFormat) -> None:
    stream = configured(log_format)
    sentence = f"told {canary} so"

    logger().info(Event.ALERT_SENT, message=sentence, key=canary, status=[sentence])
    logger().info(Event.ALERT_SENT, message="x", detail={"hint": sentence, "guest": canary})
    logger().warning(Event.ALERT_SENT, message="x", hint=ValueError(sentence))
    logging.getLogger("yoyo.migrations").warning("library: %s", sentence)
    try:
        refuse(sentence)
    except ValueError:
        logger().exception(Event.HANDLER_CRASHED, message="crashed")
        logging.getLogger("uvicorn.error").exception("crashed")
    structlog.contextvars.bind_contextvars(reference=sentence)
    logger().info(Event.ALERT_SENT, message="x")
    structlog.contextvars.clear_contextvars()

    # a traceback quotes lines of this file, which name the variable and not its value
    written = stream.getvalue().lower()
    assert written.count("alert.sent") == 4
    assert written.count("valueerror: told") == 2
    assert [telltale for telltale in TELLTALES if telltale in written] == []


@pytest.mark.parametrize(
    "key",
    [
        "email", "phone", "name", "guest_email", "guest_first_name", "notes", "payload", "body",
        "authorization", "token", "access_token", "api_key", "secret", "password", "headers",
        "special_requests", "row",
    ],
)  # fmt: skip
def test_keys_that_are_not_listed_are_dropped_and_only_named(key: str) -> None:
    stream = configured()

    logger().info(Event.ALERT_SENT, message="x", **{key: "Canary"})

    assert "Canary" not in stream.getvalue()
    assert only_line(stream)["dropped"] == [key]


@pytest.mark.parametrize(
    "text",
    [
        "LA2026-48213",
        "2026-48213",
        "evt_1Q2w3E4r5T6y7U8i9O0pAsDf",
        "pi_3Q2w3E4r5T6y7U8i9O0pAsDf",
        "ch_3Q2w3E4r5T6y7U8i9O0pAsDf",
        "cs_test_a1b2c3d4e5f6",
        "acct_1032D82eZvKYlo2C",
        "2026-03-05T10:11:12.123456+00:00",
        "2026-03-05T10:11:12Z",
        "2026-03-05 10:11:12.123456+01",
        "2026-03-05 to 2026-03-12",
        "10:11:12",
        "65f1a0c2b3d4e5f601234567",
        "00000000000000000000000000000001",
        "127.0.0.1:8080",
        "[::1]:8080",
        "http 503 after 15.0 s, attempt 3 of 3, delivery 1234567890",
        "1760000000",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "https://pms.example.com/v1/reservations/65f1a0c2b3d4e5f601234567",
        "Waiting 1000ms before retry...",
        "guestly:http_503",
        "task_1",
        "test-reservation-id",
        "refund re_3Q2w3E4r5T6y7U8i9O0pAsDf",
        "host-7.example.com-4711-a1b2c3",
    ],
)
def test_ids_times_and_addresses_are_left_alone(text: str) -> None:
    assert mask(text) == text
    assert mask(f"Sync of {text}: done") == f"Sync of {text}: done"


@given(st.uuids())
def test_no_uuid_is_masked(uuid: UUID) -> None:
    sentence = f"✓ Guestly sync successful for booking {uuid}: reservation {uuid.hex}"

    assert mask(sentence) == sentence
    assert redact({"booking_id": uuid}) == {"booking_id": str(uuid)}


@given(st.datetimes(timezones=st.just(UTC)))
def test_no_time_is_masked(moment: datetime) -> None:
    assert mask(moment.isoformat()) == moment.isoformat()


@given(st.text())
def test_any_text_can_be_masked_and_written(text: str) -> None:
    line = json.dumps(redact({"message": text, "hint": text}), ensure_ascii=False)

    assert json.loads(line.encode())
    assert mask(mask(text)) == mask(text)


def test_a_long_text_is_masked_in_no_time() -> None:
    for piece in ("a", "0171 ", "a@", "://", "a.", "password", "+4", "DETAIL:", "\n", "%40"):
        # quadratic behaviour would take minutes: the suite's time limit is the assertion
        mask(piece * 100_000)


def test_values_become_json() -> None:
    fields = redact(
        {
            "wait_ms": timedelta(milliseconds=1500),
            "ts": datetime(2026, 3, 5, tzinfo=UTC),
            "duration_ms": float("nan"),
            "version": (1, 2),
            "event": Event.ALERT_SENT,
            "code": None,
            "test_mode": True,
        }
    )

    assert fields == {
        "wait_ms": 1.5,
        "ts": "2026-03-05T00:00:00+00:00",
        "duration_ms": "nan",
        "version": [1, 2],
        "event": "alert.sent",
        "code": None,
        "test_mode": True,
    }


def test_no_listed_key_invites_guest_data() -> None:
    invites = {"email", "phone", "name", "notes", "payload", "body", "token", "secret", "guest"}

    assert not {key for key in LOG_KEYS if invites & set(key.split("_"))}


def test_a_line_of_a_library_passes_the_same_way() -> None:
    stream = configured()

    logging.getLogger("yoyo.migrations").warning("took %d s", 3)

    line = only_line(stream)
    assert (line["event"], line["message"]) == ("library.yoyo.migrations", "took 3 s")
    assert (line["level"], line["service"]) == ("warning", "worker")


@pytest.mark.parametrize("name", ["httpx", "httpcore.connection", "uvicorn.access"])
def test_libraries_that_tell_every_request_are_silent_below_warning(name: str) -> None:
    stream = configured(level=LogLevel.DEBUG)

    logging.getLogger(name).info("GET https://pms.example.com")
    logging.getLogger(name).warning("trouble")

    assert only_line(stream)["message"] == "trouble"


def test_the_pool_is_silent_about_what_our_own_lines_tell_once() -> None:
    stream = configured()

    logging.getLogger("psycopg.pool").warning("error connecting, once a second")

    assert stream.getvalue() == ""


def test_the_level_is_the_least_that_is_written() -> None:
    stream = configured(level=LogLevel.WARNING)

    logger().info(Event.ALERT_SENT, message="hidden")
    logger().error(Event.ALERT_SENT, message="shown")

    assert only_line(stream)["message"] == "shown"


def test_configuring_again_replaces_the_stream() -> None:
    first, second = configured(), configured()

    logger().info(Event.ALERT_SENT, message="x")

    assert first.getvalue() == ""
    assert only_line(second)["message"] == "x"


def test_auto_is_json_where_no_terminal_is() -> None:
    stream = configured(LogFormat.AUTO)

    logger().info(Event.ALERT_SENT, message="x")

    assert only_line(stream)["event"] == "alert.sent"


def test_auto_is_console_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure(
        LogSettings(format=LogFormat.AUTO, level=LogLevel.INFO), service="worker", stream=stream
    )

    logger().info(Event.ALERT_SENT, message="told", alert_id=7)

    assert stream.getvalue().rstrip().endswith("told  [alert.sent] alert_id=7")


def test_a_message_cannot_forge_a_second_line() -> None:
    for log_format in (LogFormat.CONSOLE, LogFormat.JSON):
        stream = configured(log_format)

        logger().info(Event.ALERT_SENT, message="one\ntwo\x1b[2J\u2028three", hint="x\r\ny")

        assert len(stream.getvalue().splitlines()) == 1
        assert "\x1b" not in stream.getvalue()


def test_a_terminal_without_the_sign_still_gets_the_line() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    configure(
        LogSettings(format=LogFormat.JSON, level=LogLevel.INFO), service="worker", stream=stream
    )

    logger().info(Event.ALERT_SENT, message="✓ told")

    assert b"\\u2713 told" in raw.getvalue()


def test_a_line_that_cannot_be_written_is_not_shown_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = configured()
    stream.close()

    logger().info(Event.ALERT_SENT, message="Canary", key="Canary")

    shown = capsys.readouterr().err
    assert "a log line of outbox was lost: ValueError" in shown
    assert "Canary" not in shown


IN_A_HOST = """
import logging, sys
from outbox_worker.events import Event
from outbox_worker.telemetry import logger
logger().info(Event.BOOKING_TESTED, message="not asked for")
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
logger().info(Event.BOOKING_TESTED, message="asked for", guest_email="zoe@example.com")
"""


def test_in_a_program_that_is_not_ours_nothing_is_printed_that_it_has_not_asked_for() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IN_A_HOST], capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    (line,) = ran.stdout.splitlines()
    assert line.startswith("outbox {")
    assert '"message": "asked for"' in line
    assert "zoe@" not in line, "redacted there too"
