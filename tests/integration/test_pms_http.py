"""Requests and answers as they are, over real sockets."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from outbox_worker import __version__
from outbox_worker.pms.http import MAX_BODY, Answered, Broken, NotSent, PmsHttp
from tests.support_pms_http import PATIENT, SHORT, client
from tests.support_scripted import Peer, answering, reply, serving


async def test_the_request_is_sent_as_asked_for() -> None:
    async with serving(answering(reply(200))) as server, client(f"{server.url}/v1/") as http:
        await http.exchange(
            "PUT", ("reservations", "a/b c?é"), query={"confirmationCode": "LA 1&x=é+"},
            headers={"Idempotency-Key": "k1"}, body=b"{}",
        )  # fmt: skip
        (request,) = server.requests
    assert request.method == "PUT"
    assert request.target == (
        "/v1/reservations/a%2Fb%20c%3F%C3%A9?confirmationCode=LA%201%26x%3D%C3%A9%2B"
    )
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == f"booking-outbox/{__version__}"
    assert request.headers["idempotency-key"] == "k1"
    assert request.headers["content-length"] == "2"
    assert request.body == b"{}"


@pytest.mark.parametrize(("part", "sent"), [("..", "%2E%2E"), (".", "%2E"), ("a..b", "a..b")])
async def test_an_id_of_dots_is_no_step_up_the_path(part: str, sent: str) -> None:
    async with serving(answering(reply(200))) as server, client(f"{server.url}/v1") as http:
        await http.exchange("GET", ("reservations", part))
        assert server.requests[0].target == f"/v1/reservations/{sent}"


async def test_an_answer_is_reported_with_status_headers_and_body() -> None:
    answer = reply(422, b"no", {"Retry-After": "7", "X-Any": "y"})
    async with serving(answering(answer)) as server, client(server.url) as http:
        result = await http.exchange("GET", ("x",))
    assert isinstance(result, Answered)
    assert (result.status, result.body, result.whole) == (422, b"no", True)
    assert result.headers["retry-after"] == "7"


async def test_an_answer_in_chunks_after_an_early_hint_is_read() -> None:
    answer = (
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    async with serving(answering(answer)) as server, client(server.url) as http:
        result = await http.exchange("GET", ("x",))
    assert isinstance(result, Answered)
    assert (result.status, result.body) == (200, b"abcde")


async def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")

    async with serving(script) as server, client(server.url) as http:
        result = await http.exchange("GET", ("x",))
    assert isinstance(result, Answered)
    assert result.body == b"abc"


async def test_one_connection_serves_calls_that_follow_each_other() -> None:
    async with serving(answering(reply(200))) as server, client(server.url) as http:
        for _ in range(5):
            assert isinstance(await http.exchange("GET", ("x",)), Answered)
        assert server.connections == 1


async def test_a_redirect_is_answered_and_not_followed() -> None:
    answer = reply(307, headers={"Location": "/elsewhere"})
    async with serving(answering(answer)) as server, client(server.url) as http:
        result = await http.exchange("POST", ("x",), body=b"{}")
        assert isinstance(result, Answered)
        assert result.status == 307
        assert len(server.requests) == 1


async def test_cookies_are_not_kept() -> None:
    answer = reply(200, headers={"Set-Cookie": "a=b; Path=/"})
    async with serving(answering(answer)) as server, client(server.url) as http:
        await http.exchange("GET", ("x",))
        await http.exchange("GET", ("x",))
        assert all("cookie" not in request.headers for request in server.requests)


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(answering(reply(200))) as server, client(server.url) as http:
        assert isinstance(await http.exchange("GET", ("x",)), Answered)


@pytest.mark.parametrize("framing", ["length", "chunked", "endless"])
async def test_a_body_beyond_the_limit_is_cut_and_its_connection_given_up(framing: str) -> None:
    piece = b"x" * 65_536

    async def script(peer: Peer) -> None:
        await peer.request()
        match framing:
            case "length":
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
            case "chunked":
                await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            case _:
                await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(b"10000\r\n" + piece + b"\r\n" if framing == "chunked" else piece)

    async with serving(script) as server, client(server.url, connections=1) as http:
        for _ in range(2):
            result = await http.exchange("GET", ("x",))
            assert isinstance(result, Answered)
            assert len(result.body) == MAX_BODY
            assert not result.whole
        assert server.connections == 2


async def test_a_body_of_exactly_the_limit_is_whole() -> None:
    answer = reply(200, b"x" * MAX_BODY)
    async with serving(answering(answer)) as server, client(server.url) as http:
        result = await http.exchange("GET", ("x",))
    assert isinstance(result, Answered)
    assert result.whole


async def test_a_compressed_body_that_nobody_asked_for_is_not_unpacked() -> None:
    packed = gzip.compress(b"0" * 10_000_000)
    answer = reply(200, packed, {"Content-Encoding": "gzip"})
    async with serving(answering(answer)) as server, client(server.url) as http:
        result = await http.exchange("GET", ("x",))
    assert isinstance(result, Answered)
    assert result.body == packed


async def test_calls_beyond_the_connections_wait_their_turn() -> None:
    running = 0
    most = 0
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal running, most
        while True:
            await peer.request()
            running += 1
            most = max(most, running)
            if len(server.requests) == 3:
                gate.set()
            await gate.wait()
            running -= 1
            await peer.send(reply(200))

    async with serving(script) as server, client(server.url, connections=3) as http:
        results = await asyncio.gather(*(http.exchange("GET", ("x",)) for _ in range(9)))
        assert all(isinstance(result, Answered) for result in results)
        assert most == 3
        assert server.connections <= 3


async def test_a_call_that_never_got_its_turn_was_not_sent() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.hang()

    async with (
        serving(script) as server,
        client(server.url, within=SHORT, connections=1) as http,
    ):
        first, *others = await asyncio.gather(
            *(http.exchange("POST", (str(number),), body=b"{}") for number in range(5))
        )
        assert isinstance(first, Broken)
        # on a busy machine one may get its turn in the moment between two time-outs, not all
        assert any(isinstance(each, NotSent) for each in others)
        sent = sum(isinstance(each, Broken) for each in others)
        assert len(server.requests) <= 1 + sent


async def test_a_cancelled_call_is_cancelled_and_leaves_its_place_to_the_next() -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if request.target == "/hang":
                arrived.set()
                await peer.hang()
            await peer.send(reply(200))

    async with serving(script) as server, client(server.url, connections=1) as http:
        call = asyncio.create_task(http.exchange("POST", ("hang",), body=b"{}"))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert isinstance(await http.exchange("GET", ("x",)), Answered)


async def test_calls_that_fail_in_every_way_leave_their_places_to_others() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        match request.target:
            case "/reset":
                peer.reset()
            case "/hang":
                await peer.hang()
            case "/cut":
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
            case _:
                await peer.send(reply(200))

    async with serving(script) as server, client(server.url, within=SHORT) as http:
        for _ in range(3):
            await asyncio.gather(
                *(http.exchange("POST", (what,)) for what in ("reset", "hang", "cut", "fine"))
            )
        results = await asyncio.gather(*(http.exchange("GET", ("fine",)) for _ in range(4)))
        assert all(isinstance(result, Answered) for result in results)


@pytest.mark.parametrize("key", ["a\nb", "ключ", "x ", "x\t"])
def test_a_header_that_http_cannot_carry_is_refused_without_its_value(key: str) -> None:
    with pytest.raises(ValueError, match="Authorization") as caught:
        PmsHttp(
            base_url="http://127.0.0.1:1",
            name="Guestly",
            headers={"Authorization": f"Bearer {key}"},
            timeout=PATIENT,
            connections=1,
        )
    assert key not in str(caught.value)
