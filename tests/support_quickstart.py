"""The site of the quickstart's reader, the reader, and what has to be true when they are done."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit, urlunsplit

import httpx

from tests.migration.support_site import (
    OWNER,
    ROOT,
    connect,
    create_roles,
    rows,
    run_file,
    with_user,
)
from tests.support_documents import GUIDE, QUICKSTART, Shell, blocks, check_answer, replaced
from tests.support_simulator import wait_for

#: What the document shows in place of the reader's own address of the database.
DATABASE = "postgresql://postgres:PASSWORD@db.example.com:5432/postgres"
#: What the reader types in place of what the document shows.
VALUES: Mapping[str, str] = {
    "nano /etc/booking-outbox/credentials/STRIPE_WEBHOOK_SECRET": (
        "echo whsec_reader > /etc/booking-outbox/credentials/STRIPE_WEBHOOK_SECRET"
    ),
}
#: Beyond what any of it takes on a busy machine.
_PATIENCE_S = 60.0
_TRIAL = ("LA2026-48213", "LA2026-48214", "LA2026-48216", "LA2026-48217")
_MISSING = "LA2026-48190"

_ROWS = b"""
alter table public.bookings
  add column guestly_reservation_id text, add column guestly_sync_status text default 'pending',
  add column guestly_sync_error text, add column guestly_synced_at timestamptz,
  add column guestly_sync_attempts integer default 0;
insert into public.properties (slug, name)
values ('sea-loft', 'Sea Loft'), ('old-mill', 'Old Mill');
insert into public.bookings (
  booking_reference, property_id, guest_first_name, guest_last_name, guest_email, adults,
  check_in_date, check_out_date, total, status, payment_status, confirmed_at,
  guestly_reservation_id, guestly_sync_status)
select b.reference, p.id, 'Zoe', 'Canary', 'zoe.canary@example.com', 2,
  current_date + b.day, current_date + b.day + 4, b.total, b.status,
  case b.status when 'confirmed' then 'completed' else 'pending' end,
  case b.status when 'confirmed' then now() end,
  b.held, case when b.held is null then 'pending' else 'synced' end
from (values
  ('LA2026-48213', 'sea-loft', 30, 1240.50, 'pending', null),
  ('LA2026-48216', 'sea-loft', 60, 1240.50, 'pending', null),
  ('LA2026-48214', 'old-mill', 30, 980.00, 'pending', null),
  ('LA2026-48217', 'old-mill', 70, 980.00, 'pending', null),
  ('LA2026-48190', 'old-mill', 50, 980.00, 'confirmed', null),
  ('LA2026-48001', 'old-mill', 20, 980.00, 'confirmed', 'RES-1')
) as b (reference, slug, day, total, status, held) join public.properties p using (slug);
"""


@contextlib.contextmanager
def site(server_url: str) -> Iterator[str]:
    """The site's tables with rows, in a database of their owner's; its URL.

    Two apartments; four bookings that nobody has paid yet, one that was paid while no sync was on,
    and one that the site's own sync has brought to the PMS.
    """
    create_roles(server_url)
    name = f"outbox_site_{secrets.token_hex(8)}"
    with connect(server_url) as server:
        server.execute(f"create database {name} template template0 owner {OWNER}")
        admin_url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        url = with_user(admin_url, OWNER, "owner")
        try:
            with connect(admin_url) as admin:
                # before Postgres 15 the schema does not belong to the database's owner
                admin.execute(f"alter schema public owner to {OWNER}")
            run_file(url, ROOT / "tests" / "migration" / "site.sql")
            with connect(url) as conn:
                conn.execute(_ROWS)
            yield url
        finally:
            server.execute(f"drop database {name} with (force)")


class Reader:
    """Follows the quickstart to the letter.

    Args:
        typed: Where commands are typed.
        database_url: Of the site's owner; SQL is run there.
        values: What the reader puts in place of what the document shows.
        log: Everything that a service has printed so far, by its name.
    """

    def __init__(
        self,
        typed: Shell,
        database_url: str,
        values: Mapping[str, str],
        log: Callable[[str], str],
    ) -> None:
        self._typed = typed
        self._database_url = database_url
        self._values = values
        self._log = log

    def follow(self, *, without: str) -> None:
        """Type every block, compare each answer with what the document says of it.

        Args:
            without: Word of the blocks that are left out.
        """
        for block in blocks(QUICKSTART, "sh", "sql"):
            if without in block.words:
                continue
            text = replaced(block.text, self._values)
            if block.language == "sql":
                with connect(self._database_url) as conn:
                    conn.execute(text.encode())
                continue
            check_answer(block, self._typed.run(text), self._values)
            for reference in re.findall(r"^pay (\S+)", text, re.MULTILINE):
                self._wait_for(reference)

    def check(self, pms_url: str) -> None:
        """Everything that the document promises, after its last block."""
        with httpx.Client(base_url=pms_url, trust_env=False) as pms:
            held = wait_for(lambda: self._cancelled(pms), within_s=_PATIENCE_S)
        assert held == {**{each: ["canceled"] for each in _TRIAL}, _MISSING: ["confirmed"]}
        mails = self._log("stand-in-mailbox")
        assert "MAIL: [Test]" in mails
        assert "MAIL: [Action] Booking LA2026-48214 is paid but cannot reach Guestly" in mails
        log = self._log("outbox-worker")
        for text in (log, mails, self._log("webhook-receiver")):
            assert "canary" not in text.lower()
        messages = [str(line.get("message")) for line in _json_lines(log)]
        for sentence in log_sentences():
            assert any(sentence.fullmatch(message) for message in messages), sentence.pattern

    def _cancelled(self, pms: httpx.Client) -> dict[str, list[str]] | None:
        """State by reference of what the PMS holds, once the end of the trial has reached it."""
        held: dict[str, list[str]] = {}
        for each in pms.get("/_simulator/state").json()["reservations"]:
            held.setdefault(each["confirmationCode"], []).append(each["status"])
        done = all("canceled" in held.get(reference, ()) for reference in _TRIAL)
        return held if done else None

    def _wait_for(self, reference: str) -> None:
        """A reader looks again when it is not there yet."""

        def decided() -> str | None:
            with connect(self._database_url) as conn:
                found = rows(
                    conn,
                    "select guestly_sync_status as status from public.bookings"
                    " where booking_reference = %s",
                    reference,
                )
            status = found[0]["status"]
            return None if status == "pending" else str(status)

        if wait_for(decided, within_s=_PATIENCE_S) == "failed":
            action = f"[Action] Booking {reference} "
            wait_for(lambda: action in self._log("stand-in-mailbox"), within_s=_PATIENCE_S)


def log_sentences() -> list[re.Pattern[str]]:
    """The sentences that the guide names, with their placeholders as patterns."""
    [block] = [each for each in blocks(GUIDE, "text") if "log-sentences" in each.words]
    stands = {"UUID": r"[0-9a-f-]{36}", "ERROR": r".+", "ID": r"\S+", "N": r"\d+", "Xms": r"\d+ms"}
    found = []
    for line in block.text.splitlines():
        parts = re.split(r"\b(UUID|ERROR|ID|N|Xms)\b", line)
        pattern = "".join(stands.get(part, re.escape(part)) for part in parts)
        found.append(re.compile(pattern))
    return found


def _json_lines(text: str) -> Iterator[dict[str, object]]:
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            parsed = json.loads(line)
            if isinstance(parsed, dict):
                yield parsed
