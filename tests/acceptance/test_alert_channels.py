"""A real worker that tells a failed booking by mail and in a chat, and that somebody watches."""

from __future__ import annotations

from pathlib import Path

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.support_alert import add_booking, add_property
from tests.support_engine import eventually
from tests.support_hook import SECRET, hook
from tests.support_mail import MailApi, answer, mail_api
from tests.support_port import kept_port
from tests.support_worker import environment, worker


async def rejected_booking(conn: Connection, reference: str) -> None:
    """A paid booking of a property without a listing: it cannot be sent."""
    property_id = await add_property(conn, slug=reference.lower())
    booking = await add_booking(
        conn,
        booking_reference=reference,
        property_id=property_id,
        guest_first_name="Canaria",
        guest_email="canaria@example.com",
    )
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference="evt_1")


def settings(database_url: str, api: MailApi, chat_url: str, **more: str) -> dict[str, str]:
    return environment(
        database_url,
        None,
        ADMIN_ALERT_EMAIL="ops@example.com",
        EMAIL_FROM="alerts@example.com",
        EMAIL_API_ENDPOINT=api.url,
        EMAIL_API_KEY="key",
        ALERT_CHAT_WEBHOOK_URL=chat_url,
        LOG_LEVEL="debug",
        **more,
    )


async def settled(conn: Connection) -> bool:
    cursor = await conn.execute(
        "select 1 from outbox.delivery where destination in ('email', 'chat')"
        " having count(*) > 0 and bool_and(delivered = requested)"
    )
    return await cursor.fetchone() is not None


async def test_a_booking_that_fails_is_told_in_both_channels_and_the_watcher_hears_the_worker(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await rejected_booking(conn, "LFT-7K2P")
    async with mail_api() as api, hook() as chat, hook() as watcher:
        environ = settings(database_url, api, chat.url, HEARTBEAT_URL=watcher.url)
        with worker(tmp_path / "worker.log", environ) as process:

            async def told() -> bool:
                return await settled(conn) and bool(watcher.taken)

            await eventually(told, "both messages and a heartbeat", within=20)
            log = process.text

    (mail,) = api.accepted
    assert "LFT-7K2P is paid but cannot reach Guestly" in mail.json["subject"]
    (text,) = chat.texts
    assert "*[Action] Booking LFT-7K2P is paid but cannot reach Guestly" in text
    assert "`LFT-7K2P` 22 Nov 2026 to 25 Nov 2026, 3 nights" in text
    assert "listing_missing" in text
    assert [call.method for call in watcher.taken] == ["GET"], "one in thirty seconds"
    assert SECRET not in log
    assert "anaria" not in f"{text}{log}"


async def test_a_chat_that_is_down_is_told_later_and_once_while_the_mail_goes_on(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    async with hook(kept_port()) as gone:
        port = int(gone.url.split(":")[2].split("/")[0])
    await rejected_booking(conn, "LFT-7K2P")

    async def tried_twice() -> bool:
        cursor = await conn.execute(
            "select 1 from outbox.delivery where destination = 'chat' and attempts >= 2"
        )
        return await cursor.fetchone() is not None

    async def mailed() -> bool:
        return len(api.accepted) == 1

    async def everything_told() -> bool:
        return await settled(conn)

    async with mail_api() as api:
        with worker(tmp_path / "worker.log", settings(database_url, api, gone.url)) as process:
            await eventually(tried_twice, "two failed attempts in the chat", within=20)
            await eventually(mailed, "the mail meanwhile")
            async with hook(port) as back:
                back.script.append(answer(503))
                await eventually(everything_told, "the chat's message", within=30)
            log = process.text

    (text,) = back.texts
    assert "LFT-7K2P" in text
    assert len(api.accepted) == 1
    assert SECRET not in log
