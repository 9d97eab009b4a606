"""How long a PMS asks to wait, whatever it writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox_worker.pms.retry_after import retry_after

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", timedelta(seconds=7)),
        (" 7 ", timedelta(seconds=7)),
        ("0", timedelta(0)),
        ("1.5", timedelta(seconds=1.5)),
        ("3600", HOUR),
        ("3601", HOUR),
        ("9" * 400, HOUR),
        ("Sat, 21 Nov 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Saturday, 21-Nov-26 12:00:30 GMT", timedelta(seconds=30)),
        ("Sat, 21 Nov 2026 12:00:30 -0000", timedelta(seconds=30)),
        ("Sat, 21 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("Sun, 21 Nov 2027 12:00:00 GMT", HOUR),
    ],
)
def test_seconds_and_dates_are_read_and_capped(value: str, wait: timedelta) -> None:
    assert retry_after({"retry-after": value}, now=NOW) == wait


def test_a_date_is_measured_by_the_clock_of_the_server() -> None:
    headers = {
        "retry-after": "Sat, 21 Nov 2026 09:00:30 GMT",
        "date": "Sat, 21 Nov 2026 09:00:00 GMT",
    }
    assert retry_after(headers, now=NOW) == timedelta(seconds=30)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "nan", "inf", "٣", "0x10", "1,5"])
def test_what_cannot_be_read_says_nothing(value: str) -> None:
    assert retry_after({"retry-after": value}, now=NOW) is None
    assert retry_after({}, now=NOW) is None


@settings(deadline=None)
@given(value=st.text(max_size=60), date=st.text(max_size=60))
def test_no_header_breaks_it_or_leaves_the_hour(value: str, date: str) -> None:
    wait = retry_after({"retry-after": value, "date": date}, now=NOW)
    assert wait is None or timedelta(0) <= wait <= HOUR
