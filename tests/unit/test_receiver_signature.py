from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stripe import Webhook, WebhookSignature

from tests.support_stripe import SECRET, sign
from webhook_receiver.signature import TOLERANCE_S, Refusal, refusal

NOW = 1_795_000_000
BODY = json.dumps({"object": "event", "id": "evt_1"}).encode()
NEW_SECRET = "whsec_the_next_one"


def judge(header: str, *, body: bytes = BODY, now: float = NOW) -> Refusal | None:
    return refusal(body, [header], secrets=[SECRET], now=now)


def test_what_stripe_signs_is_taken() -> None:
    assert judge(sign(BODY, at=NOW)) is None
    assert judge(WebhookSignature.generate_signature_header(BODY.decode(), SECRET, NOW)) is None


def test_any_of_several_secrets_may_have_signed() -> None:
    for secret in (SECRET, NEW_SECRET):
        header = sign(BODY, secret=secret, at=NOW)

        assert refusal(BODY, [header], secrets=[NEW_SECRET, SECRET], now=NOW) is None


def test_any_of_several_signatures_may_be_right() -> None:
    signed = sign(BODY, at=NOW)
    _, good = signed.split(",")
    others = ",".join([f"v1={'0' * 64}", "v0=abc", "v1=no-hex", good, "v1=", "v2"])

    assert judge(f"t={NOW},{others}") is None


@pytest.mark.parametrize("ahead", [-TOLERANCE_S, 0, TOLERANCE_S])
def test_a_clock_may_differ_by_the_tolerance(ahead: int) -> None:
    assert judge(sign(BODY, at=NOW + ahead)) is None


def test_what_was_signed_too_early_or_too_late_is_refused() -> None:
    assert judge(sign(BODY, at=NOW - TOLERANCE_S - 1)) is Refusal.TOO_OLD
    assert judge(sign(BODY, at=NOW + TOLERANCE_S + 1)) is Refusal.FROM_THE_FUTURE


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (f"t={NOW},v1={'0' * 64}", Refusal.WRONG_SIGNATURE),
        ("", Refusal.HEADER_MALFORMED),
        ("nonsense", Refusal.HEADER_MALFORMED),
        (f"t={NOW}", Refusal.HEADER_MALFORMED),
        (f"v1={'0' * 64}", Refusal.HEADER_MALFORMED),
        (f"t=,v1={'0' * 64}", Refusal.HEADER_MALFORMED),
        (f"t=1_7,v1={'0' * 64}", Refusal.HEADER_MALFORMED),
        (f"t={NOW},t={NOW},v1={'0' * 64}", Refusal.HEADER_MALFORMED),
        (f"t={'9' * 13},v1={'0' * 64}", Refusal.HEADER_MALFORMED),
        (f"t={NOW},v1=\xe9", Refusal.HEADER_MALFORMED),
        (f"t={NOW},v0={'0' * 64}", Refusal.HEADER_MALFORMED),
        (f"t={NOW}" + ",v1=0" * 17, Refusal.TOO_MANY_SIGNATURES),
        ("t=1," + "x" * 4096, Refusal.HEADER_TOO_LONG),
    ],
)
def test_a_header_that_proves_nothing_is_refused(header: str, why: Refusal) -> None:
    assert judge(header) is why


def test_a_missing_and_a_doubled_header_are_refused() -> None:
    header = sign(BODY, at=NOW)

    assert refusal(BODY, [], secrets=[SECRET], now=NOW) is Refusal.NO_HEADER
    assert refusal(BODY, [header] * 2, secrets=[SECRET], now=NOW) is Refusal.SEVERAL_HEADERS


def test_a_body_that_is_not_utf8_is_refused_even_when_signed() -> None:
    assert judge(sign(b"\xff", at=NOW), body=b"\xff") is Refusal.BODY_NOT_UTF8


def test_one_changed_byte_is_refused() -> None:
    changed = BODY.replace(b"evt_1", b"evt_2")

    assert judge(sign(BODY, at=NOW), body=changed) is Refusal.WRONG_SIGNATURE


@given(header=st.text(st.characters(max_codepoint=255), max_size=200), body=st.binary(max_size=64))
@example(header=f"t={NOW},v1=\xe9", body=b"{}")
@example(header="t=1,v1=", body=b"\xed\xa0\x80")
def test_nothing_forged_passes_and_nothing_raises(header: str, body: bytes) -> None:
    assert judge(header, body=body) is not None


@given(
    body=st.text(st.characters(exclude_categories=["Cs"]), max_size=64).map(str.encode),
    secret=st.sampled_from([SECRET, NEW_SECRET]),
    age=st.integers(min_value=-400, max_value=400),
    decorate=st.sampled_from(["{}", "{},v0=1", "{},v1=" + "0" * 64, "v1=" + "0" * 64 + ",{}"]),
)
def test_it_agrees_with_the_library_wherever_that_is_sound(
    body: bytes, secret: str, age: int, decorate: str
) -> None:
    header = decorate.format(sign(body, secret=secret, at=NOW - age))

    ours = judge(header, body=body)

    right = secret == SECRET
    assert (ours is None) == (right and abs(age) <= TOLERANCE_S)


def test_the_library_takes_the_same_event() -> None:
    header = sign(BODY)

    assert Webhook.construct_event(BODY, header, SECRET)["id"] == "evt_1"
