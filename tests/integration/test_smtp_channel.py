from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from outbox_worker.alerts.smtp import Encryption, SmtpChannel, parse_url
from outbox_worker.errors import AlertChannelError, SettingsError
from outbox_worker.settings_types import Secret
from tests.support_alert import make_message
from tests.support_mail import listening, mail_server
from tests.support_port import kept_port

RECIPIENTS = ("ops@example.com", "owner@example.org")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a certificate for localhost that nobody trusts, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the program openssl, which makes the test's certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def channel_to(
    url: str,
    *,
    trusts: Path | None = None,
    seconds: float = 5,
) -> SmtpChannel:
    return SmtpChannel(
        parse_url(Secret(url)),
        sender="alerts@example.com",
        recipients=RECIPIENTS,
        timeout=timedelta(seconds=seconds),
        context=ssl.create_default_context(cafile=trusts) if trusts else None,
    )


async def refused(channel: SmtpChannel) -> AlertChannelError:
    with pytest.raises(AlertChannelError) as caught:
        await channel.send(make_message())
    return caught.value


@asynccontextmanager
async def raw_server(*replies: bytes, hangs_up: bool = False) -> AsyncIterator[int]:
    """Says one reply after each line it hears (the first at once), then nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            writer.write(reply)
            await writer.drain()
            if not await reader.readline():
                break
        if not hangs_up:
            await reader.read()

    async with listening(serve) as port:
        yield port


async def test_mail_arrives_as_it_was_made() -> None:
    message = make_message(2, references=("<alert-7.1@booking-outbox>",))
    async with mail_server() as server:
        accepted = await channel_to(f"smtp://127.0.0.1:{server.port}").send(message)

    assert accepted.refused == 0
    (taken,) = server.taken
    assert taken.sender == "alerts@example.com"
    assert taken.recipients == RECIPIENTS
    mail = taken.mail
    assert mail["Subject"] == message.subject
    assert mail["Message-ID"] == "<alert-7.2@booking-outbox>"
    assert mail["In-Reply-To"] == "<alert-7.1@booking-outbox>"
    assert mail["Auto-Submitted"] == "auto-generated"
    plain, html = mail.iter_parts()
    assert plain.get_content().splitlines() == message.text.splitlines()
    assert html.get_content().strip() == message.html


async def test_user_and_password_are_sent_where_nobody_else_listens() -> None:
    async with mail_server(password="pass/word") as server:
        await channel_to(f"smtp://alerts%40example.com:pass%2Fword@127.0.0.1:{server.port}").send(
            make_message()
        )
    assert server.taken[0].user == "alerts@example.com"


async def test_a_wrong_password_is_told_without_the_password() -> None:
    async with mail_server(password="right") as server:
        error = await refused(channel_to(f"smtp://user:wrong@127.0.0.1:{server.port}"))
    assert (error.code, error.ambiguous) == ("smtp_535", False)
    assert "wrong" not in str(error)


async def test_starttls_is_used_where_it_is_offered(certificate: Path) -> None:
    async with mail_server(tls=server_side(certificate)) as server:
        await channel_to(f"smtp://localhost:{server.port}", trusts=certificate).send(make_message())
    assert server.taken[0].encrypted


async def test_encryption_from_the_start(certificate: Path) -> None:
    async with mail_server(tls=server_side(certificate), implicit_tls=True) as server:
        await channel_to(f"smtps://localhost:{server.port}", trusts=certificate).send(
            make_message()
        )
    assert server.taken[0].raw


@pytest.mark.parametrize("implicit", [False, True])
async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(
    certificate: Path,
    implicit: bool,
) -> None:
    scheme = "smtps" if implicit else "smtp"
    async with mail_server(tls=server_side(certificate), implicit_tls=implicit) as server:
        error = await refused(channel_to(f"{scheme}://localhost:{server.port}"))
    assert (error.code, error.ambiguous) == ("smtp_tls", False)
    assert server.taken == []


async def test_a_certificate_of_another_host_gets_no_mail(certificate: Path) -> None:
    async with mail_server(tls=server_side(certificate)) as server:
        error = await refused(
            channel_to(f"smtp://127.0.0.1:{server.port}?starttls", trusts=certificate)
        )
    assert error.code == "smtp_tls"


async def test_required_starttls_that_is_not_offered_ends_before_the_mail() -> None:
    async with mail_server() as server:
        error = await refused(channel_to(f"smtp://127.0.0.1:{server.port}?starttls"))
    assert (error.code, error.ambiguous) == ("smtp_starttls_missing", False)
    assert server.taken == []


async def test_starttls_that_is_offered_and_then_refused_ends_before_the_mail() -> None:
    async with raw_server(
        b"220 hello\r\n", b"250-mail\r\n250 STARTTLS\r\n", b"454 not now\r\n"
    ) as port:
        error = await refused(channel_to(f"smtp://127.0.0.1:{port}"))
    assert (error.code, error.ambiguous) == ("smtp_454", False)


async def test_a_server_that_greets_with_a_refusal_is_told_by_its_number() -> None:
    async with raw_server(b"554 go away\r\n") as port:
        error = await refused(channel_to(f"smtp://127.0.0.1:{port}"))
    assert (error.code, error.ambiguous) == ("smtp_554", False)


async def test_some_recipients_refused_is_a_mail_that_arrived() -> None:
    async with mail_server() as server:
        server.refuse = {"owner@example.org"}
        accepted = await channel_to(f"smtp://127.0.0.1:{server.port}").send(make_message())
    assert accepted.refused == 1
    assert server.taken[0].recipients == ("ops@example.com",)


async def test_all_recipients_refused_is_a_mail_that_did_not_without_their_names() -> None:
    async with mail_server() as server:
        server.refuse = set(RECIPIENTS)
        error = await refused(channel_to(f"smtp://127.0.0.1:{server.port}"))
    assert (error.code, error.ambiguous) == ("smtp_550", False)
    assert "no such mailbox" in str(error)
    assert "example.com" not in str(error)


async def test_content_that_is_refused_is_certain() -> None:
    async with mail_server() as server:
        server.reply = "451 try later"
        error = await refused(channel_to(f"smtp://127.0.0.1:{server.port}"))
    assert (error.code, error.ambiguous) == ("smtp_451", False)


async def test_a_break_after_the_content_leaves_open_whether_the_mail_is_out() -> None:
    async with mail_server() as server:
        server.break_after_content = True
        error = await refused(channel_to(f"smtp://127.0.0.1:{server.port}"))
    assert (error.code, error.ambiguous) == ("smtp_broken", True)


@pytest.mark.parametrize(("hangs_up", "code"), [(True, "smtp_broken"), (False, "smtp_timeout")])
async def test_a_break_or_silence_before_the_content_is_certain(
    hangs_up: bool,
    code: str,
) -> None:
    async with raw_server(b"220 hello\r\n", b"250 mail\r\n", hangs_up=hangs_up) as port:
        error = await refused(
            channel_to(f"smtp://127.0.0.1:{port}", seconds=10 if hangs_up else 0.5)
        )
    assert (error.code, error.ambiguous) == (code, False)


async def test_silence_after_the_content_is_left_in_time_and_leaves_it_open() -> None:
    async with mail_server() as server, asyncio.timeout(10):
        server.silent_after_content = True
        # far longer than it takes to hand the content over
        error = await refused(channel_to(f"smtp://127.0.0.1:{server.port}", seconds=2))
    assert error.ambiguous


async def test_silence_after_the_mail_was_taken_changes_nothing() -> None:
    async with mail_server() as server:
        server.silent_at_the_end = True
        accepted = await channel_to(f"smtp://127.0.0.1:{server.port}", seconds=3).send(
            make_message()
        )
    assert accepted.refused == 0
    assert len(server.taken) == 1


async def test_a_server_that_drips_is_left_in_time_and_keeps_no_thread() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        while True:
            writer.write(b"220-")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with listening(drip) as port, asyncio.timeout(10):
        error = await refused(channel_to(f"smtp://127.0.0.1:{port}", seconds=0.4))
        await asyncio.get_running_loop().shutdown_default_executor()
    assert (error.code, error.ambiguous) == ("smtp_timeout", False)
    assert not [thread for thread in threading.enumerate() if "asyncio_" in thread.name]


async def test_a_server_that_is_down_is_certain_not_to_have_the_mail() -> None:
    error = await refused(channel_to(f"smtp://127.0.0.1:{kept_port()}"))
    assert (error.code, error.ambiguous) == ("smtp_unreachable", False)


@pytest.mark.parametrize(
    ("url", "host", "port", "encryption"),
    [
        ("smtp://mail.example.com", "mail.example.com", 25, Encryption.IF_OFFERED),
        ("smtp://u:p@mail.example.com", "mail.example.com", 587, Encryption.IF_OFFERED),
        ("smtp://mail.example.com?starttls", "mail.example.com", 587, Encryption.REQUIRED),
        ("smtp://mail.example.com:2525/?starttls=1", "mail.example.com", 2525, Encryption.REQUIRED),
        ("smtps://u:p@mail.example.com", "mail.example.com", 465, Encryption.FROM_THE_START),
        ("smtp://[::1]:1025", "::1", 1025, Encryption.IF_OFFERED),
    ],
)
def test_addresses_of_mail_servers_are_understood(
    url: str, host: str, port: int, encryption: Encryption
) -> None:
    server = parse_url(Secret(url))
    assert (server.host, server.port, server.encryption) == (host, port, encryption)


def test_user_and_password_are_decoded_and_never_shown() -> None:
    server = parse_url(Secret("smtps://alerts%40example.com:s%3Aecret@mail.example.com"))
    assert server.user == "alerts@example.com"
    assert server.password is not None
    assert server.password.reveal() == "s:ecret"
    assert "ecret" not in repr(server)


@pytest.mark.parametrize(
    "url",
    ["https://u:hunter2@mail.example.com", "smtp://", "smtp://u:hunter2@mail.example.com:x",
     "smtp://u:hunter2@mail.example.com?tls=off"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_url(Secret(url))
    assert "SMTP_URL" in caught.value.faults[0]
    assert "hunter2" not in str(caught.value.faults)
