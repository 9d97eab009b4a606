from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

import pytest

from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertKind
from outbox_worker.bookings.booking import BookingStatus, PaymentStatus, SyncStatus
from outbox_worker.database import Connection
from outbox_worker.gate import circuit
from outbox_worker.outbox.delivery import Destination, Reason
from outbox_worker.outbox.outcome import AttemptOutcome
from outbox_worker.payments.verdict import EventOutcome
from outbox_worker.pms.port import Mode, PmsName

ENUMS: dict[tuple[str, str], Iterable[StrEnum]] = {
    ("outbox.delivery", "destination"): Destination,
    ("outbox.destination", "destination"): Destination,
    ("outbox.destination", "circuit"): circuit.State,
    ("outbox.destination", "circuit_cause"): circuit.Cause,
    ("outbox.request", "reason"): Reason,
    ("outbox.attempt", "outcome"): AttemptOutcome,
    ("outbox.inbox_event", "outcome"): EventOutcome,
    ("outbox.alert", "kind"): AlertKind,
    ("outbox.alert_told", "channel"): ALERT_CHANNELS,
    ("outbox.reservation", "pms"): PmsName,
    ("outbox.reservation", "mode"): Mode,
    ("outbox.listing", "pms"): PmsName,
    ("public.bookings", "guestly_sync_status"): SyncStatus,
    ("public.bookings", "status"): BookingStatus,
    ("public.bookings", "payment_status"): PaymentStatus,
}
#: Columns with a list of words that no code names yet, with those words.
WORDS_ALONE = {
    ("outbox.inbox_event", "source"): {"stripe", "pms"},
}
LISTS = """
select c.conrelid::regclass::text as relation, a.attname as name, pg_get_constraintdef(c.oid) as
definition from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
where c.contype = 'c' and cardinality(c.conkey) = 1 and pg_get_constraintdef(c.oid) like '%ARRAY[%'
  and c.connamespace in ('outbox'::regnamespace, 'public'::regnamespace)
"""


async def words_of_columns(conn: Connection) -> dict[tuple[str, str], set[str]]:
    cursor = await conn.execute(LISTS)
    found: dict[tuple[str, str], set[str]] = {}
    for row in await cursor.fetchall():
        relation = row["relation"] if "." in row["relation"] else f"public.{row['relation']}"
        found[relation, row["name"]] = set(re.findall(r"'([^']*)'::", row["definition"]))
    return found


@pytest.mark.parametrize(("column", "enum"), ENUMS.items(), ids=str)
async def test_an_enum_and_its_column_have_the_same_words(
    column: tuple[str, str], enum: Iterable[StrEnum], conn: Connection
) -> None:
    assert (await words_of_columns(conn))[column] == set(enum)


async def test_every_column_with_a_list_of_words_is_compared(conn: Connection) -> None:
    words = await words_of_columns(conn)

    assert set(words) == set(ENUMS) | set(WORDS_ALONE)
    assert {column: words[column] for column in WORDS_ALONE} == WORDS_ALONE


async def test_every_destination_has_its_gate(conn: Connection) -> None:
    cursor = await conn.execute("select destination from outbox.destination")

    assert {row["destination"] for row in await cursor.fetchall()} == set(Destination)
