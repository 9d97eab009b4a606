"""What commands read and print, without a process: files of settings, JSON, times, columns."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import click
import pytest

from outbox_worker.cli import layout
from outbox_worker.cli.exits import ExitCode, exit_code_of
from outbox_worker.cli.listing_file import FileFaultsError, parse_listings
from outbox_worker.cli.paging import next_page
from outbox_worker.cli.reply import Fault, Reply, fault_json, jsonable, printable, reply_json
from outbox_worker.cli.requeue_answer import Outcome, answer, exit_code
from outbox_worker.cli.since import Since, typed
from outbox_worker.env_file import parse_env_file
from outbox_worker.errors import (
    AmbiguousRefError,
    DatabaseError,
    DatabaseUnreachableError,
    NotFoundError,
    OutboxError,
    RefusedError,
    SchemaError,
    SettingsError,
)
from outbox_worker.operations.moments import moment
from outbox_worker.operations.pages import Page
from outbox_worker.operations.requeue import Requeued
from outbox_worker.operations.settling import Settled
from outbox_worker.outbox.delivery import DeliveryId, State


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    at: datetime
    day: date
    wait: timedelta
    total: Decimal
    id: UUID
    colour: Colour
    counts: dict[Colour, int]
    parts: tuple[int, ...]
    nothing: None


def test_a_record_becomes_json_by_the_names_of_its_fields() -> None:
    record = Record(
        at=datetime(2026, 11, 21, 15, 0, tzinfo=timezone(timedelta(hours=1))),
        day=date(2026, 11, 22),
        wait=timedelta(seconds=1.5),
        total=Decimal("1240.50"),
        id=UUID(int=1),
        colour=Colour.RED,
        counts={Colour.RED: 2},
        parts=(1, 2),
        nothing=None,
    )

    assert jsonable(record) == {
        "at": "2026-11-21T14:00:00Z",
        "day": "2026-11-22",
        "wait": 1.5,
        "total": "1240.50",
        "id": "00000000-0000-0000-0000-000000000001",
        "colour": "red",
        "counts": {"red": 2},
        "parts": [1, 2],
        "nothing": None,
    }


def test_what_has_no_json_form_is_a_bug_and_not_a_guess() -> None:
    with pytest.raises(TypeError, match="object"):
        jsonable(object())


@pytest.mark.parametrize("code", list(ExitCode))
def test_ok_says_whether_the_exit_code_is_zero(code: ExitCode) -> None:
    document = json.loads(reply_json(Reply(data={"n": 1}, code=code)))

    assert document == {"schema": "outbox/1", "ok": code == 0, "data": {"n": 1}}


def test_an_error_is_one_object_too() -> None:
    fault = Fault(code=ExitCode.NOT_FOUND, message="Nothing.", hint="Look again.", details=("one",))

    assert json.loads(fault_json(fault)) == {
        "schema": "outbox/1",
        "ok": False,
        "data": None,
        "error": {
            "exit_code": 6,
            "code": "not_found",
            "message": "Nothing.",
            "fix": "Look again.",
            "details": ["one"],
        },
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError(("A is wrong",)), 2),
        (AmbiguousRefError("two", candidates=("a", "b")), 2),
        (DatabaseUnreachableError("gone"), 4),
        (NotFoundError("what?"), 6),
        (RefusedError("no"), 7),
        (SchemaError("old"), 1),
        (DatabaseError("no"), 1),
        (OutboxError("no"), 1),
    ],
)
def test_every_expected_error_has_its_exit_code(error: OutboxError, code: int) -> None:
    assert exit_code_of(error) == code


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\x9bc\r\n") == "a\\x1b[31mb\\x9bc\\r\\n"
    assert printable("Zoë Łęcka") == "Zoë Łęcka"


def test_an_env_file_is_lines_of_key_and_value() -> None:
    text = """
# a comment
A=1
export B = "two words"   # why
C='a "quoted" $word'
D=with#hash # and a comment
E=
"""

    assert parse_env_file(text, name="env") == {
        "A": "1",
        "B": "two words",
        "C": 'a "quoted" $word',
        "D": "with#hash",
        "E": "",
    }


def test_every_faulty_line_of_an_env_file_is_named_without_its_content() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_env_file("A=1\nnonsense secret\n1B=x\nC='open\n", name="env")

    assert caught.value.faults == (
        "env line 2: expected KEY=VALUE",
        "env line 3: expected KEY=VALUE",
        "env line 4: the quote of C is not closed",
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"sea-loft": "64f1", "old-mill": "7"}',
        "slug,listing_id\nsea-loft, 64f1\n\n# later: x,y\nold-mill,7\n",
        'sea-loft,"64f1"\nold-mill,7',
        "# by hand\nListing_ID,Slug\n64f1,sea-loft\n7,old-mill\n",
    ],
)
def test_listings_come_as_a_json_map_or_as_csv(text: str) -> None:
    assert parse_listings(text) == {"sea-loft": "64f1", "old-mill": "7"}


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ("it holds no listing",)),
        ("{}", ("it holds no listing",)),
        ("[1]", ("it is not a JSON object from slug to listing id",)),
        ('{"a": "1", "a": "2"}', ("entry 'a': a has another listing id further up",)),
        (
            '{"a": null, "b": true, "c": {"d": "1"}, "d": 7, "e": ""}',
            (
                *(
                    f"entry '{slug}': the listing id is no JSON string; put it in double quotes"
                    for slug in "abcd"
                ),
                "entry 'e': slug or listing id is missing",
            ),
        ),
        ("a,1\nb\n", ("line 2: expected slug,listing_id",)),
        (
            "slug;listing_id\na;1\n",
            ("line 1: the columns are separated by semicolons; commas are needed",),
        ),
        ("a,1\na,2\n", ("line 2: a has another listing id further up",)),
    ],
)
def test_a_file_of_listings_is_refused_with_all_its_faults(
    text: str, faults: tuple[str, ...]
) -> None:
    with pytest.raises(FileFaultsError) as caught:
        parse_listings(text)

    assert caught.value.details == faults


def test_json_that_ends_early_is_refused() -> None:
    with pytest.raises(FileFaultsError) as caught:
        parse_listings('{"a": ')

    assert caught.value.details[0].startswith("it is not JSON: ")


@pytest.mark.parametrize(
    ("text", "ago"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("3d", 259200), ("1w", 604800)]
)
def test_since_takes_a_span(text: str, ago: int) -> None:
    parsed = Since().convert(text, None, None)

    age = datetime.now(UTC) - parsed
    assert timedelta(seconds=ago) <= age < timedelta(seconds=ago + 60)


def test_since_takes_a_date_and_a_moment() -> None:
    assert Since().convert("2026-11-20", None, None) == datetime(2026, 11, 20, tzinfo=UTC)
    assert Since().convert("2026-11-20T14:00Z", None, None) == datetime(
        2026, 11, 20, 14, tzinfo=UTC
    )


def test_since_the_beginning_of_time_can_be_typed_again() -> None:
    since = Since().convert("0001-01-01", None, None)

    assert typed(since) == "0001-01-01T00:00:00Z"
    assert Since().convert(typed(since), None, None) == since


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2h30", "-1d", "999999w", "0001-01-01T00:00+02:00", "9999-12-31T23:59-05:00"],
)
def test_since_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        Since().convert(text, None, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 days")],
)
def test_a_span_is_told_in_its_largest_unit(seconds: int, words: str) -> None:
    assert layout.span(timedelta(seconds=seconds)) == words


def test_columns_stand_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("REF", "WHY"), ("a", "short"), ("b" * 30, "w" * 40), ("c\x1b", "x")]

    assert layout.columns(rows, indent="  ") == [
        "  REF    WHY",
        "  a      short",
        "  " + "b" * 30,
        "    " + "w" * 40,
        "  c\\x1b  x",
    ]


def test_a_last_cell_of_several_words_is_broken_between_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    assert layout.columns([("LA-1", "a worker is sending it now"), ("LA-2", "why " * 9)]) == [
        "LA-1  a worker is sending it now",
        "LA-2  why why why why why why why why",
        "      why",
    ]


def test_a_command_that_is_wider_than_the_terminal_can_be_copied_from_several_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    page: Page[str] = Page(rows=(), more=7, more_at_least=False, after="evt_1Qx48213")
    words = ["outbox", "list", "--error", "two words", "--state", "failed", "--test-mode"]

    number, *lines = next_page(page, words)

    assert number == "and 7 more:"
    assert lines == [
        "     outbox list --error 'two words' --state failed \\",
        "       --test-mode --after evt_1Qx48213",
    ]
    # as a shell reads it
    typed_in = "\n".join(lines).replace("\\\n", "")
    assert shlex.split(typed_in) == [*words, "--after", "evt_1Qx48213"]


def test_a_moment_is_told_in_utc_whatever_its_zone() -> None:
    at = datetime(2026, 11, 22, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))

    assert moment(at) == "2026-11-21 23:02:03 UTC"
    assert Since().convert(moment(at), None, None) == at
    assert Since().convert(typed(at), None, None) == at


@pytest.mark.parametrize(
    ("tested", "says"),
    [
        (True, "LA-1  tested, nothing was sent (GUESTLY_TEST_MODE=true)"),
        (False, "LA-1  synced, reservation res-1"),
    ],
)
def test_what_test_mode_handled_is_not_called_synced(tested: bool, says: str) -> None:
    settled = Settled(
        name="LA-1",
        state=State.SYNCED,
        reservation_id="res-1",
        error_code=None,
        error=None,
        tested=tested,
        note=None,
    )
    outcome = Outcome(
        dry_run=False,
        interrupted=False,
        plan=None,
        notes=(),
        requeued=(Requeued(name="LA-1", delivery_id=DeliveryId(1), version=1),),
        skipped=(),
        closed=(),
        settled=(settled,),
    )

    assert list(answer(outcome, chosen=1)) == [says, "next: outbox status"]


def test_what_was_only_tested_against_our_settings_fails_and_says_which_worker_to_restart() -> None:
    stale = "the running worker w still has GUESTLY_TEST_MODE=true: restart it"
    settled = Settled(
        name="LA-1", state=State.SYNCED, reservation_id=None,
        error_code=None, error=None, tested=True, note=None,
    )  # fmt: skip
    asked = Requeued(name="LA-1", delivery_id=DeliveryId(1), version=1)
    outcome = Outcome(
        dry_run=False, interrupted=False, plan=None, notes=(), requeued=(asked,),
        skipped=(), closed=(), settled=(settled,), stale=stale,
    )  # fmt: skip

    assert list(answer(outcome, chosen=1))[-1] == f"next: {stale}"
    assert exit_code(outcome) is ExitCode.FAILED
    assert exit_code(replace(outcome, stale=None)) is ExitCode.DONE
