from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.bookings.transition import PaymentSucceeded
from outbox_worker.payments.money import difference, exponent, minor_units


def paid(amount: int | None, currency: str | None) -> PaymentSucceeded:
    return PaymentSucceeded(intent_id="pi_1", charge_id=None, amount=amount, currency=currency)


@pytest.mark.parametrize(
    ("total", "currency", "units"),
    [
        ("500.00", "EUR", 50000),
        ("0.00", "EUR", 0),
        ("0.01", "EUR", 1),
        ("99999999.99", "EUR", 9_999_999_999),
        ("500.00", "JPY", 500),
        ("500.50", "JPY", None),
        ("12.34", "KWD", 12340),
        ("12.345", "KWD", 12345),
        ("12.345", "EUR", None),
        ("1000", "ISK", 100_000),
        ("1000", "UGX", 100_000),
        ("NaN", "EUR", None),
        ("Infinity", "EUR", None),
    ],
)
def test_a_total_becomes_the_minor_units_of_its_currency(
    total: str, currency: str, units: int | None
) -> None:
    assert minor_units(Decimal(total), currency) == units


@given(st.integers(min_value=0, max_value=10**10), st.sampled_from(["EUR", "JPY", "KWD", "USD"]))
def test_minor_units_are_exact(units: int, currency: str) -> None:
    total = Decimal(units).scaleb(-exponent(currency))

    assert minor_units(total, currency) == units


@pytest.mark.parametrize(
    ("payment", "total", "currency", "said"),
    [
        (paid(50000, "EUR"), "500.00", "EUR", None),
        (paid(500, "JPY"), "500.00", "JPY", None),
        (paid(500_000, "KWD"), "500.00", "KWD", None),
        (paid(49999, "EUR"), "500.00", "EUR", "paid 49999 instead of 50000"),
        (paid(50001, "EUR"), "500.00", "EUR", "paid 50001 instead of 50000"),
        (paid(50000, "USD"), "500.00", "EUR", "paid in USD instead of EUR"),
        (paid(50000, None), "500.00", "EUR", "paid in no currency instead of EUR"),
        (paid(None, "EUR"), "500.00", "EUR", "paid nothing that is said instead of 50000"),
        (paid(50000, "EUR"), None, "EUR", "total is not an amount"),
        (paid(50050, "JPY"), "500.50", "JPY", "total is not an amount"),
        (paid(50000, "JPY"), "500.00", "JPY", "paid 50000 instead of 500 "),
        (paid(50000, "KWD"), "500.00", "KWD", "paid 50000 instead of 500000"),
    ],
)
def test_a_payment_fits_its_booking_to_the_last_unit_or_not_at_all(
    payment: PaymentSucceeded, total: str | None, currency: str, said: str | None
) -> None:
    why = difference(payment, total=None if total is None else Decimal(total), currency=currency)

    assert (why is None) if said is None else (why is not None and said in why)
