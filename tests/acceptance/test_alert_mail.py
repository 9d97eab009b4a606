"""Alerts from a real worker to a real mail service that is away at first."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.support_alert import add_booking, add_property
from tests.support_engine import eventually
from tests.support_mail import MailApi, MailServer, mail_api, mail_server
from tests.support_port import kept_port
from tests.support_worker import environment, worker

GUEST = {
    "guest_first_name": "Canaria",
    "guest_last_name": "Canariensis",
    "guest_email": "canaria@example.com",
    "guest_phone": "+49 151 7654321",
    "special_requests": "Canaria wants a cot",
}


async def rejected_booking(conn: Connection) -> str:
    """A paid booking of a property without a listing: it cannot be sent."""
    property_id = await add_property(conn, slug="sea-loft")
    booking = await add_booking(
        conn, booking_reference="LFT-7K2P", property_id=property_id, **GUEST
    )
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference="evt_1")
    return str(booking)


def assert_names(text: str, booking: str) -> None:
    for fact in (
        "LFT-7K2P",
        booking,
        "sea-loft",
        "22 Nov 2026 to 25 Nov 2026, 3 nights",
        "3 (2 adults, 1 child)",
        "1,240.00 EUR",
        "completed",
        "confirmed",
        "listing_missing",
        "outbox listings set sea-loft LISTING_ID",
        "outbox requeue LFT-7K2P",
    ):
        assert fact in text
    for part in ("Canaria", "canaria", "7654321", "cot"):
        assert part not in text


@pytest.mark.parametrize("kind", ["api", "smtp"])
async def test_a_rejected_booking_is_mailed_once_after_the_mail_service_came_back(
    conn: Connection, database_url: str, tmp_path: Path, kind: str
) -> None:
    booking = await rejected_booking(conn)
    port = kept_port()
    settings = {
        "api": {
            "EMAIL_API_ENDPOINT": f"http://127.0.0.1:{port}/v3/mail/send",
            "EMAIL_API_KEY": "key",
        },
        "smtp": {"SMTP_URL": f"smtp://127.0.0.1:{port}"},
    }[kind]
    environ = environment(
        database_url,
        None,
        ADMIN_ALERT_EMAIL="ops@example.com",
        EMAIL_FROM="alerts@example.com",
        **settings,
    )

    async def tried() -> bool:
        cursor = await conn.execute(
            "select 1 from outbox.attempt a join outbox.delivery d on d.id = a.delivery_id"
            " where d.destination = 'email' and a.outcome = 'failed'"
        )
        return await cursor.fetchone() is not None

    async def told() -> bool:
        cursor = await conn.execute(
            "select 1 from outbox.alert_told t join outbox.delivery d"
            " on d.destination = t.channel and d.key = t.alert_id::text"
            " where t.messages = 1 and d.destination = 'email' and d.delivered = d.requested"
        )
        return await cursor.fetchone() is not None

    with worker(tmp_path / "worker.log", environ) as process:
        await eventually(tried, "a failed attempt to mail", within=20)
        if kind == "api":
            async with mail_api(port) as api:
                await eventually(told, "the mail", within=20)
            text = api_text(api)
        else:
            async with mail_server(port=port) as server:
                await eventually(told, "the mail", within=20)
            text = smtp_text(server)
        log = process.text
    assert_names(text, booking)
    assert "Canaria" not in log
    assert "ops@example.com" not in log


def api_text(api: MailApi) -> str:
    (mail,) = api.accepted
    assert mail.json["subject"].startswith("[Action] Booking LFT-7K2P is paid but cannot reach")
    return str(mail.json["content"][0]["value"])


def smtp_text(server: MailServer) -> str:
    (taken,) = server.taken
    assert taken.mail["Subject"].startswith("[Action] Booking LFT-7K2P is paid but cannot reach")
    return str(next(taken.mail.iter_parts()).get_content())
