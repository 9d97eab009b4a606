"""Comparing what was paid with what a booking costs: integers and Decimal, never float; pure."""

from __future__ import annotations

from decimal import Decimal

from outbox_worker.bookings.transition import PaymentSucceeded

#: Currencies whose amounts Stripe does not give with two decimals. UGX and ISK have none in daily
#: life, but Stripe gives them with two.
#:
#: Source: Stripe, "Supported currencies", zero-decimal and special cases.
_DECIMALS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"), 0),
    **dict.fromkeys(("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
}


def exponent(currency: str) -> int:
    """Decimals of a currency in Stripe's amounts: 0, 2 or 3.

    Args:
        currency: ISO 4217, upper case.
    """
    return _DECIMALS.get(currency, 2)


def minor_units(total: Decimal, currency: str) -> int | None:
    """An amount as Stripe writes it.

    Args:
        total: Major units.
        currency: ISO 4217, upper case.

    Returns:
        Minor units; None where the total is not a whole number of them.
    """
    if not total.is_finite():
        return None
    units = total.scaleb(exponent(currency))
    return int(units) if units == units.to_integral_value() else None


def difference(paid: PaymentSucceeded, *, total: Decimal | None, currency: str) -> str | None:
    """Why a payment does not pay for a booking.

    Args:
        paid: What was received.
        total: What the booking costs, major units of ``currency``.
        currency: The site's currency, ISO 4217, upper case.

    Returns:
        One clause for operators; None when the payment is exactly what the booking costs.
    """
    expected = None if total is None else minor_units(total, currency)
    if paid.currency != currency:
        return f"paid in {paid.currency or 'no currency'} instead of {currency}"
    if expected is None:
        return f"the booking's total is not an amount in {currency}"
    if paid.amount != expected:
        received = "nothing that is said" if paid.amount is None else f"{paid.amount}"
        return f"paid {received} instead of {expected} (minor units of {currency})"
    return None
