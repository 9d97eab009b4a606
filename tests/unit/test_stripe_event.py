from __future__ import annotations

import json
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox_worker.bookings.transition import (
    PaymentCanceled,
    PaymentFailed,
    PaymentProcessing,
    PaymentSucceeded,
)
from outbox_worker.payments.stripe_event import Deferred, Ignored, Malformed, StripeEvent, read
from tests.support_stripe import Json, encoded, event, intent, session

BOOKING = "0b7e4d1e-52c4-4f6a-9a51-8f6f2f0f7a11"
#: Everything that JSON can hold, lone surrogates, NUL and very large numbers among it.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = (
    ["id"], ["object"], ["type"], ["livemode"], ["account"], ["data"], ["data", "object"],
    *(["data", "object", name] for name in (
        "id", "object", "amount_received", "amount_total", "currency", "latest_charge", "charges",
        "metadata", "mode", "payment_intent", "payment_status",
    )),
    *(["data", "object", "metadata", name] for name in (
        "booking_id", "booking_reference", "property_id",
    )),
)  # fmt: skip


def put(body: Json, path: list[str], value: Any) -> Json:
    *parents, last = path
    inner = body
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return body


def reread(body: Json) -> StripeEvent:
    return read(encoded(body))


def test_a_paid_intent_is_read_with_its_charge_amount_and_currency() -> None:
    body = event("payment_intent.succeeded", intent("pi_1", amount=50000), id="evt_1")

    seen = reread(body)

    assert (seen.id, seen.type, seen.livemode) == ("evt_1", "payment_intent.succeeded", False)
    assert (seen.object_id, seen.payment_intent_id, seen.account) == ("pi_1", "pi_1", None)
    assert seen.meaning == PaymentSucceeded(
        intent_id="pi_1", charge_id="ch_pi_1", amount=50000, currency="EUR"
    )


def test_a_paid_checkout_is_read_with_its_intent_and_no_charge() -> None:
    seen = reread(event("checkout.session.completed", session("pi_1", amount=50000)))

    assert seen.payment_intent_id == "pi_1"
    assert seen.meaning == PaymentSucceeded(
        intent_id="pi_1", charge_id=None, amount=50000, currency="EUR"
    )


@pytest.mark.parametrize(
    ("thing", "charge_id"),
    [
        pytest.param({"latest_charge": "ch_9"}, "ch_9", id="since 2022-11-15"),
        pytest.param({"latest_charge": {"id": "ch_9", "object": "charge"}}, "ch_9", id="expanded"),
        pytest.param(
            {
                "latest_charge": None,
                "charges": {
                    "data": [
                        {"id": "ch_8", "status": "failed"},
                        {"id": "ch_9", "status": "succeeded"},
                    ]
                },
            },
            "ch_9",
            id="before 2022-11-15",
        ),
        pytest.param({"latest_charge": None}, None, id="none named"),
        pytest.param({"latest_charge": None, "charges": {"data": [7, "x"]}}, None, id="nonsense"),
    ],
)
def test_the_charge_is_found_where_the_api_version_puts_it(
    thing: Json, charge_id: str | None
) -> None:
    seen = reread(event("payment_intent.succeeded", intent("pi_1", amount=1, **thing)))

    assert isinstance(seen.meaning, PaymentSucceeded)
    assert seen.meaning.charge_id == charge_id


@pytest.mark.parametrize(
    ("event_type", "thing", "meaning"),
    [
        (
            "payment_intent.processing",
            intent("pi_1", amount=1),
            PaymentProcessing(intent_id="pi_1"),
        ),
        (
            "payment_intent.payment_failed",
            intent("pi_1", amount=1),
            PaymentFailed(intent_id="pi_1"),
        ),
        ("payment_intent.canceled", intent("pi_1", amount=1), PaymentCanceled(intent_id="pi_1")),
        (
            "checkout.session.completed",
            session("pi_1", amount=1, payment_status="unpaid"),
            PaymentProcessing(intent_id="pi_1"),
        ),
        (
            "checkout.session.async_payment_succeeded",
            session("pi_1", amount=1, payment_status="unpaid"),
            PaymentSucceeded(intent_id="pi_1", charge_id=None, amount=1, currency="EUR"),
        ),
        (
            "checkout.session.async_payment_failed",
            session("pi_1", amount=1),
            PaymentFailed(intent_id="pi_1"),
        ),
        ("checkout.session.expired", session(None, amount=1), PaymentCanceled(intent_id=None)),
        (
            "checkout.session.completed",
            session({"id": "pi_1"}, amount=1),  # type: ignore[arg-type]  # an expanded intent
            PaymentSucceeded(intent_id="pi_1", charge_id=None, amount=1, currency="EUR"),
        ),
    ],
)
def test_each_type_has_its_meaning(event_type: str, thing: Json, meaning: object) -> None:
    assert reread(event(event_type, thing)).meaning == meaning


@pytest.mark.parametrize(
    "event_type",
    [
        "charge.refunded",
        "charge.refund.updated",
        "refund.created",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ],
)
def test_refunds_and_disputes_are_kept_for_later(event_type: str) -> None:
    thing = {"id": "re_1", "payment_intent": "pi_1"}

    seen = reread(event(event_type, thing))

    assert seen.meaning == Deferred()
    assert (seen.object_id, seen.payment_intent_id) == ("re_1", "pi_1")


@pytest.mark.parametrize(
    ("event_type", "fields"),
    [
        ("payout.paid", {}),
        ("charge.succeeded", {}),
        ("some.type.of.tomorrow", {}),
        ("v2.core.event_destination.ping", {"object": "v2.core.event"}),
        ("payment_intent.succeeded", {"object": "v2.core.event"}),
    ],
)
def test_other_types_and_thin_events_are_ignored(event_type: str, fields: Json) -> None:
    assert isinstance(reread(event(event_type, {}, **fields)).meaning, Ignored)


def test_a_checkout_that_only_stores_a_card_is_ignored() -> None:
    thing = session(None, amount=0, mode="setup", payment_status="no_payment_required")

    assert isinstance(reread(event("checkout.session.completed", thing)).meaning, Ignored)


def test_the_metadata_name_the_booking() -> None:
    metadata = {"booking_id": BOOKING, "booking_reference": " LA-1 ", "property_id": BOOKING}

    claimed = reread(
        event("payment_intent.succeeded", intent("pi_1", amount=1, metadata=metadata))
    ).claimed

    assert claimed.named
    assert (claimed.booking_id, claimed.reference) == (UUID(BOOKING), "LA-1")
    assert claimed.property_id == UUID(BOOKING)


@pytest.mark.parametrize("name", ["\0", "\ud800", "x" * 10_000, "not-a-uuid", {"a": 1}, 7])
def test_a_booking_that_is_named_unusably_is_named_all_the_same(name: object) -> None:
    metadata = {"booking_id": name, "booking_reference": "\0"}

    claimed = reread(
        event("payment_intent.succeeded", intent("pi_1", amount=1, metadata=metadata))
    ).claimed

    assert claimed.named
    assert (claimed.booking_id, claimed.reference) == (None, None)


@pytest.mark.parametrize("amount", [1.0, True, "1", -1, None, [1], 10**30])
def test_an_amount_that_is_no_whole_number_is_not_said(amount: object) -> None:
    thing = intent("pi_1", amount=1, amount_received=amount)

    seen = reread(event("payment_intent.succeeded", thing))

    assert isinstance(seen.meaning, PaymentSucceeded)
    assert seen.meaning.amount is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b'"x"', id="a text"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="with a byte order mark"),
        pytest.param(b'{"id": NaN}', id="NaN"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
        pytest.param(b'{"a":' * 50_000, id="deeply nested objects"),
        pytest.param(b"{}", id="no id and no type"),
        pytest.param(b'{"id": "evt_1", "type": 7}', id="a type that is no text"),
        pytest.param(b'{"id": "evt_1", "type": "payment_intent.succeeded"}', id="no object"),
        pytest.param(
            b'{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {"a": 1}}}',
            id="an object without an id",
        ),
    ],
)
def test_a_body_that_is_no_event_is_malformed_and_keeps_an_id(body: bytes) -> None:
    seen = read(body)

    assert isinstance(seen.meaning, Malformed)
    assert seen.id in {"evt_1", f"sha256:{sha256(body).hexdigest()}"}


@pytest.mark.parametrize("event_id", ["", "evt \n", "e" * 201, "\0", "évt", None, 7])
def test_an_event_without_a_usable_id_goes_by_its_bytes(event_id: object) -> None:
    body = encoded(event("payout.paid", {}, id=event_id))

    seen = read(body)

    assert seen.id == f"sha256:{sha256(body).hexdigest()}"
    assert isinstance(seen.meaning, Malformed)


def test_a_number_of_thousands_of_digits_spoils_nothing_else() -> None:
    body = encoded(event("payment_intent.succeeded", intent("pi_1", amount=5)))
    huge = body.replace(b'"metadata": {}', b'"metadata": {}, "more": ' + b"9" * 20_000)

    assert read(huge).meaning == read(body).meaning


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_fail(body: bytes) -> None:
    seen = read(body)

    assert 1 <= len(seen.id) <= 200


@given(
    kind=st.sampled_from(["payment_intent.succeeded", "checkout.session.completed", "refund.x"]),
    path=st.sampled_from(FIELDS),
    value=json_values,
)
@example(kind="checkout.session.completed", path=["data", "object", "payment_status"], value={})
@example(kind="payment_intent.succeeded", path=["type"], value="\ud800")
def test_no_value_of_any_field_makes_reading_fail(kind: str, path: list[str], value: Any) -> None:
    thing = session("pi_1", amount=1) if "session" in kind else intent("pi_1", amount=1)
    body = json.dumps(put(event(kind, thing), path, value)).encode()

    seen = read(body)

    for text in (seen.id, seen.type, seen.account, seen.object_id, seen.payment_intent_id):
        # Postgres can store it: short, without NUL and lone surrogates
        assert text is None or (len(text) <= 255 and text.encode().isascii() and "\0" not in text)
    reference = seen.claimed.reference
    assert reference is None or ("\0" not in reference and len(reference.encode()) <= 1000)


@given(
    thing=st.dictionaries(st.text(max_size=12), json_values, max_size=4),
    extra=st.dictionaries(st.text(min_size=1, max_size=12), json_values, max_size=3),
)
def test_what_is_opaque_changes_nothing(thing: Json, extra: Json) -> None:
    known = intent("pi_1", amount=777)
    plain = event("payment_intent.succeeded", known, id="evt_1")
    grown = event("payment_intent.succeeded", {**thing, **known}, **{**extra, "id": "evt_1"})
    for name in ("object", "type", "livemode", "account", "data"):
        grown.pop(name, None)
    grown |= {name: plain[name] for name in ("object", "type", "livemode")}
    grown["data"] = {"object": {**thing, **known}}

    assert reread(grown) == reread(plain)
