"""0013: what was told by mail before counts as told by mail, and nothing as told in a chat."""

from __future__ import annotations

import pytest

from tests.migration.support_site import ROOT, Connection, rows

NAME = "0013.tell-each-channel"
LATER = sorted(
    path.name.removesuffix(".rollback.sql")
    for path in (ROOT / "migrations").glob("*.rollback.sql")
    if path.name >= NAME
)
TOLD = """
  select a.fingerprint as name, t.channel, t.messages, t.solved_told_at is not null as solved,
         t.planned_message, count(x.id) filter (where x.id > t.told_to) as untold,
         count(x.id) filter (where x.id > t.told_to and x.id <= t.planned_to) as planned
  from outbox.alert_told t join outbox.alert a on a.id = t.alert_id
  left join outbox.alert_delivery x on x.alert_id = a.id
  group by a.id, t.alert_id, t.channel order by a.fingerprint
"""


def run(conn: Connection, name: str) -> None:
    with conn.transaction():
        conn.execute((ROOT / "migrations" / f"{name}.sql").read_bytes())


@pytest.fixture
def before(owner: Connection) -> Connection:
    """The schema as the version before left it."""
    for name in reversed(LATER):
        run(owner, f"{name}.rollback")
    return owner


def alert(conn: Connection, name: str, columns: str, *named: str) -> None:
    """One incident; `named` are mail and mailed_at of the rows that it names, in their order."""
    conn.execute(
        "insert into outbox.alert (kind, fingerprint, mails, mailed_at, solved_mailed_at,"
        f" planned_mail) values ('sync_failed', '{name}', {columns})"
    )
    for number, row in enumerate(named):
        conn.execute(
            "insert into outbox.alert_delivery (alert_id, delivery_id, failed_at, mail, mailed_at)"
            f" select id, {number}, now(), {row} from outbox.alert where fingerprint = '{name}'"
        )


def test_what_mail_has_told_is_taken_over_and_nothing_else(before: Connection) -> None:
    alert(before, "a new", "0, null, null, 0", "null, null")
    alert(before, "b told", "1, now(), null, 1", "1, now()", "1, now()")
    alert(before, "c more", "1, now(), null, 1", "1, now()", "null, null", "null, null")
    alert(before, "d planned", "1, now(), null, 2", "1, now()", "2, null", "null, null")
    alert(before, "e gap", "2, now(), null, 2", "1, now()", "null, null", "2, now()")
    alert(before, "f solved", "2, now(), now(), 2", "1, now()")
    alert(before, "g no rows", "1, now(), null, 1")
    alert(before, "h uncertain", "0, null, null, 1", "1, null", "null, null")

    run(before, NAME)

    found = {
        row["name"]: (row["messages"], row["planned_message"], row["untold"], row["planned"])
        for row in rows(before, TOLD)
    }
    assert found == {
        "b told": (1, 1, 0, 0),
        "c more": (1, 1, 2, 0),
        "d planned": (1, 2, 2, 1),
        # told again rather than never
        "e gap": (2, 2, 2, 0),
        "f solved": (2, 2, 0, 0),
        "g no rows": (1, 1, 0, 0),
        "h uncertain": (0, 1, 2, 1),
    }
    assert {row["channel"] for row in rows(before, TOLD)} == {"email"}
    assert [row["name"] for row in rows(before, TOLD) if row["solved"]] == ["f solved"]


def test_rolling_back_keeps_what_mail_has_told_since(before: Connection) -> None:
    alert(before, "a", "0, null, null, 0", "null, null", "null, null", "null, null")
    run(before, NAME)
    before.execute(
        "insert into outbox.alert_told"
        " (alert_id, channel, messages, told_at, told_to, planned_message, planned_to)"
        " select a.id, c.channel, c.messages, now(), min(x.id) + c.messages - 1, c.messages + 1,"
        " min(x.id) + c.messages from outbox.alert a"
        " join outbox.alert_delivery x on x.alert_id = a.id,"
        " (values ('email', 1), ('chat', 2)) as c (channel, messages) group by 1, 2, 3"
    )
    before.execute(
        "insert into outbox.alert (kind, fingerprint) values ('channel_failing', 'email')"
    )

    run(before, f"{NAME}.rollback")

    [row] = rows(
        before, "select mails, mailed_at is not null as told, planned_mail from outbox.alert"
    )
    assert tuple(row.values()) == (1, True, 2)
    named = rows(
        before, "select mail is not null as planned, mailed_at is not null as told"
        " from outbox.alert_delivery order by id"
    )  # fmt: skip
    assert [tuple(row.values()) for row in named] == [(True, True), (True, False), (False, False)]
