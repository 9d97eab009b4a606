"""Listings in their JSON form: on disk, in a file for the start, over the control API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from outbox_worker.simulator.ledger import Listing
from outbox_worker.simulator.reservation import RequestRefusedError

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


def listings_from(raw: object) -> list[Listing]:
    """Listings out of JSON: ``[{"_id", "title", "active", "currency"}]``, or a map id to title.

    Raises:
        RequestRefusedError: 422.
    """
    if isinstance(raw, Mapping):
        raw = [{"_id": listing_id, "title": title} for listing_id, title in raw.items()]
    if not isinstance(raw, list):
        raise RequestRefusedError(422, "INVALID_LISTING", "send a list, or a map from id to title")
    listings = [_listing(one) for one in raw]
    if len({listing.listing_id for listing in listings}) < len(listings):
        raise RequestRefusedError(422, "INVALID_LISTING", "a listing's _id occurs twice")
    return listings


def _listing(raw: object) -> Listing:
    if isinstance(raw, Mapping):
        listing_id = raw.get("_id")
        title, active = raw.get("title", listing_id), raw.get("active", True)
        currency = raw.get("currency")
        if (
            isinstance(listing_id, str)
            and listing_id
            and isinstance(title, str)
            and isinstance(active, bool)
            and (currency is None or (isinstance(currency, str) and _CURRENCY.fullmatch(currency)))
        ):
            return Listing(listing_id=listing_id, title=title, active=active, currency=currency)
    raise RequestRefusedError(
        422,
        "INVALID_LISTING",
        "a listing is {_id: text, title: text, active: true or false, currency: three letters}",
    )


def listed(listings: Iterable[Listing]) -> list[dict[str, Any]]:
    """The form that `listings_from` reads."""
    return [
        {
            "_id": one.listing_id,
            "title": one.title,
            "active": one.active,
            **({} if one.currency is None else {"currency": one.currency}),
        }
        for one in listings
    ]
