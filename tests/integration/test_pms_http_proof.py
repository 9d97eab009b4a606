"""What a failed exchange proves, shown with real sockets that break in every way."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from outbox_worker.pms.http import Answered, Broken, NotSent
from tests.support_pms_http import PATIENT, SHORT, client
from tests.support_port import kept_port
from tests.support_scripted import Peer, answering, reply, serving


async def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    async with client(f"http://127.0.0.1:{kept_port()}") as http:
        result = await http.exchange("POST", ("x",), body=b"{}")
    assert isinstance(result, NotSent)
    assert result.code == "connection_refused"


async def test_a_name_that_does_not_resolve_proves_that_nothing_was_sent() -> None:
    async with client("http://pms.invalid") as http:
        result = await http.exchange("POST", ("x",), body=b"{}")
    assert isinstance(result, NotSent)
    assert result.code in {"dns_failed", "connect_timeout"}


async def test_a_connection_that_is_never_accepted_proves_that_nothing_was_sent() -> None:
    with socket.socket() as full, contextlib.ExitStack() as others:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # the queue of a backlog of nought holds one or two
            other = others.enter_context(socket.socket())
            other.settimeout(0)
            other.connect_ex(full.getsockname())
        async with client(f"http://127.0.0.1:{full.getsockname()[1]}", within=SHORT) as http:
            result = await http.exchange("POST", ("x",), body=b"{}")
    assert isinstance(result, NotSent)
    assert result.code == "connect_timeout"


async def test_a_server_without_tls_proves_that_nothing_was_sent() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(reply(400, b"plain HTTP here"))
        await peer.hang()

    async with serving(script) as server, client(tls(server.url)) as http:
        result = await http.exchange("POST", ("x",), body=b"{}")
        assert isinstance(result, NotSent)
        assert result.code == "tls_failed"
        assert server.requests == []


@pytest.mark.parametrize("reset", [True, False])
async def test_a_break_in_the_tls_handshake_proves_that_nothing_was_sent(*, reset: bool) -> None:
    async def script(peer: Peer) -> None:
        if reset:
            peer.reset()

    async with serving(script) as server, client(tls(server.url)) as http:
        result = await http.exchange("POST", ("x",), body=b"{}")
    assert isinstance(result, NotSent)


async def test_silence_in_the_tls_handshake_proves_that_nothing_was_sent() -> None:
    async def script(peer: Peer) -> None:
        await peer.hang()

    async with serving(script) as server, client(tls(server.url), within=SHORT) as http:
        result = await http.exchange("POST", ("x",), body=b"{}")
    assert isinstance(result, NotSent)
    assert result.code == "connect_timeout"


@pytest.fixture
def own_certificate(tmp_path: Path) -> ssl.SSLContext:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)  # our own command
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_certificate_that_nobody_vouches_for_proves_that_nothing_was_sent(
    own_certificate: ssl.SSLContext,
) -> None:
    async with (
        serving(answering(reply(200)), tls=own_certificate) as server,
        client(server.url) as http,
    ):
        result = await http.exchange("POST", ("x",), body=b"{}")
        assert isinstance(result, NotSent)
        assert result.code == "tls_failed"
        assert "certificate is not trusted" in result.message
        assert server.requests == []


def tls(url: str) -> str:
    return url.replace("http://", "https://")


@pytest.mark.parametrize("reset", [True, False])
async def test_a_break_after_the_request_proves_nothing(*, reset: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if reset:
            peer.reset()

    async with serving(script) as server, client(server.url) as http:
        result = await http.exchange("POST", ("x",), body=b"{}")
        assert isinstance(result, Broken)
        assert result.code == "connection_lost"
        assert result.status is None
        assert len(server.requests) == 1


@pytest.mark.parametrize("reset", [True, False])
async def test_a_break_before_the_request_was_read_proves_nothing_either(*, reset: bool) -> None:
    async def script(peer: Peer) -> None:
        if reset:
            peer.reset()

    async with serving(script) as server, client(server.url) as http:
        # larger than the socket's buffers, so that writing meets the break as well
        result = await http.exchange("POST", ("x",), body=b"x" * 8_000_000)
    assert isinstance(result, Broken)


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"HTTP/1.1 20", None),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 200),
        (b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", 503),
    ],
)
@pytest.mark.parametrize("silent", [True, False])
async def test_an_answer_that_breaks_off_or_stalls_proves_nothing(
    start: bytes, status: int | None, *, silent: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        if silent:
            await peer.hang()

    async with (
        serving(script) as server,
        client(server.url, within=SHORT if silent else PATIENT) as http,
    ):
        result = await http.exchange("POST", ("x",), body=b"{}")
    assert isinstance(result, Broken)
    assert result.code == ("timeout" if silent else "connection_lost")
    assert result.status == status


async def test_silence_after_the_request_is_a_time_out_that_proves_nothing() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.hang()

    async with serving(script) as server, client(server.url, within=SHORT) as http:
        result = await http.exchange("POST", ("x",), body=b"{}")
    assert isinstance(result, Broken)
    assert result.code == "timeout"


async def test_silence_on_a_connection_kept_alive_proves_nothing() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply(200))
        await peer.request()
        await peer.hang()

    async with (
        serving(script) as server,
        client(server.url, within=SHORT, connections=1) as http,
    ):
        assert isinstance(await http.exchange("GET", ("x",)), Answered)
        result = await http.exchange("POST", ("x",), body=b"{}")
        assert isinstance(result, Broken)
        assert server.connections == 1


async def test_the_whole_call_is_bounded_however_lively_the_server() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.02)

    async with serving(script) as server, client(server.url, within=SHORT) as http:
        started = asyncio.get_running_loop().time()
        result = await http.exchange("GET", ("x",))
        assert isinstance(result, Broken)
        assert (result.code, result.status) == ("timeout", 200)
        assert asyncio.get_running_loop().time() - started < 5


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"\x00\xff" * 50, b"HTTP/9.9 x\r\n\r\n"])
async def test_an_answer_that_is_not_http_proves_nothing(answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    async with serving(script) as server, client(server.url) as http:
        assert isinstance(await http.exchange("POST", ("x",), body=b"{}"), Broken)


async def test_headers_without_end_prove_nothing() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(b"X-Any: " + b"y" * 10_000 + b"\r\n")

    async with serving(script) as server, client(server.url) as http:
        assert isinstance(await http.exchange("GET", ("x",)), Broken)


async def test_a_connection_that_closes_under_a_request_is_not_tried_again() -> None:
    """A stale connection: the server closes it just as the second request arrives."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply(200))
        await peer.request()

    async with serving(script) as server, client(server.url, connections=1) as http:
        assert isinstance(await http.exchange("GET", ("x",)), Answered)
        result = await http.exchange("POST", ("x",), body=b"{}")
        assert isinstance(result, Broken)
        assert result.code == "connection_lost"
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_connection_that_was_closed_while_idle_is_not_used() -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply(200))
        peer.reset()
        closed.set()

    async with serving(script) as server, client(server.url, connections=1) as http:
        assert isinstance(await http.exchange("GET", ("x",)), Answered)
        await closed.wait()
        assert isinstance(await http.exchange("POST", ("x",), body=b"{}"), Answered)
        assert server.connections == 2
