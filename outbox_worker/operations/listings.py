"""Which listing of the PMS a property is: set, imported, listed and checked by operators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from outbox_worker.alerts.shown import token
from outbox_worker.database import Connection
from outbox_worker.errors import PmsUnansweredError, RefusedError
from outbox_worker.operations import ask_pms
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.ask_pms import PmsReader
from outbox_worker.pms.port import (
    Absent,
    Listing,
    Misconfigured,
    PmsName,
    RateLimited,
    Rejected,
    Unavailable,
)
from outbox_worker.sql import query

#: Error code of a booking that was refused because its property has no listing.
LISTING_MISSING = "listing_missing"
#: Begins the fault of a listing about which the PMS did not answer.
NOT_CHECKED = "not checked: "
_LONGEST = 200
#: How people write that there is none; as an id it would be sent to the PMS.
_NO_LISTING = frozenset({"none", "null"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRow:
    """A property and its listing.

    Args:
        known: Whether the site has a property with that slug.
        name: The property's name; None for an unknown slug.
        active: Whether the property can be booked.
        listing_id: None: none set, its bookings are refused.
        title: The listing's title in the PMS, as last checked.
    """

    slug: str
    known: bool
    name: str | None
    active: bool
    listing_id: str | None
    title: str | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingChange:
    """One slug that was set.

    Args:
        previous: The listing id before; None: there was none. Equal to ``listing_id``: unchanged.
        known: Whether the site has a property with that slug.
        shared_with: Slugs of the other properties that have the same listing now.
        unblocks: References of bookings that were refused for want of it, soonest check-in first.
    """

    slug: str
    listing_id: str
    previous: str | None
    known: bool
    shared_with: tuple[str, ...]
    unblocks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRemoval:
    """One slug whose listing was taken away.

    Args:
        previous: The listing id before; None: there was none, and nothing changed.
    """

    slug: str
    previous: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingCheck:
    """What the PMS says of one listing.

    Args:
        currency: What it is priced in; None: the PMS does not say.
        fault: All that is wrong; None: the PMS has it and it is active.
        checked: False: the PMS did not say, and ``fault`` tells why.
        mend: With a fault that a command of ours mends: that command.
    """

    slug: str
    listing_id: str | None
    title: str | None
    fault: str | None
    checked: bool = True
    currency: str | None = None
    mend: str | None = None


async def list_listings(conn: Connection, *, pms: PmsName) -> tuple[ListingRow, ...]:
    """All properties and all listings, by slug."""
    cursor = await conn.execute(query("list_listings"), {"pms": pms})
    return tuple(
        ListingRow(
            slug=row["slug"],
            known=row["known"],
            name=row["name"],
            active=row["known"] and row["is_active"] is not False,
            listing_id=row["listing_id"],
            title=row["title"],
            updated_at=row["updated_at"],
        )
        for row in await cursor.fetchall()
    )


async def set_listings(
    conn: Connection, wanted: Mapping[str, str], *, pms: PmsName, actor: str
) -> tuple[ListingChange, ...]:
    """Set listings, all of them or none.

    Args:
        conn: Owns no transaction yet.
        wanted: Listing id by slug, each 1 to 200 printable characters.
        pms: Whose listings.
        actor: For the history.

    Raises:
        RefusedError: A slug or id that cannot be one.
    """
    for slug, listing_id in wanted.items():
        _check_word("slug", slug)
        _check_word(f"listing id of {slug!r}", listing_id)
        if listing_id.casefold() in _NO_LISTING:
            raise RefusedError(
                f"{listing_id!r} is no listing id; nothing was changed",
                hint=f"To take a listing away: outbox listings remove {token(slug) or 'SLUG'}",
            )
    slugs = sorted(wanted)
    async with conn.transaction():
        cursor = await conn.execute(
            query("set_listings"),
            {"pms": pms, "slugs": slugs, "listing_ids": [wanted[slug] for slug in slugs]},
        )
        rows = await cursor.fetchall()
        changed = [row["slug"] for row in rows if row["previous"] != row["listing_id"]]
        if changed:
            await record_action(
                conn,
                actor=actor,
                action="set listing",
                target=", ".join(changed),
                affected=len(changed),
            )
    cursor = await conn.execute(
        query("unblocked_by_listing"), {"code": LISTING_MISSING, "slugs": slugs}
    )
    blocked: dict[str, list[str]] = {}
    for row in await cursor.fetchall():
        blocked.setdefault(row["slug"], []).append(row["booking_reference"])
    shared = _slugs_by_listing(await list_listings(conn, pms=pms))
    return tuple(
        ListingChange(
            slug=row["slug"],
            listing_id=row["listing_id"],
            previous=row["previous"],
            known=row["known"],
            shared_with=tuple(s for s in shared.get(row["listing_id"], ()) if s != row["slug"]),
            unblocks=tuple(blocked.get(row["slug"], ())),
        )
        for row in rows
    )


async def remove_listing(
    conn: Connection, slug: str, *, pms: PmsName, actor: str
) -> ListingRemoval:
    """Take the listing of one property away: its bookings are refused from now on.

    Args:
        conn: Owns no transaction yet.
        slug: Of the property; need not be known to the site.
        pms: Whose listing.
        actor: For the history.
    """
    async with conn.transaction():
        cursor = await conn.execute(query("remove_listing"), {"pms": pms, "slug": slug})
        row = await cursor.fetchone()
        if row is not None:
            await record_action(conn, actor=actor, action="remove listing", target=slug, affected=1)
    return ListingRemoval(slug=slug, previous=row["listing_id"] if row else None)


async def check_listings(
    conn: Connection, rows: Sequence[ListingRow], *, pms: PmsReader, currency: str
) -> AsyncIterator[ListingCheck]:
    """Ask the PMS for each listing, one after the other, and keep its title.

    Args:
        conn: In autocommit mode; never inside a transaction while the PMS is asked.
        rows: What to check; an active property without a listing is a fault as well.
        pms: The adapter.
        currency: Of the bookings; a listing that is priced in another one is at fault.

    Raises:
        SettingsError: The PMS refuses our key or address, whatever the listing; no more is asked.
        PmsUnansweredError: It refuses our access for a reason that no setting mends.
    """
    shared = _slugs_by_listing(rows)
    for row in rows:
        if row.listing_id is None:
            if row.active:
                fault = "no listing is set: its bookings are refused"
                yield ListingCheck(
                    slug=row.slug, listing_id=None, title=None, fault=fault, mend=_set(row)
                )
            continue
        listing, faults = await _ask(pms, row.listing_id, currency)
        checked = not any(fault.startswith(NOT_CHECKED) for fault in faults)
        mend = _set(row) if checked and listing is None else None
        title = None if listing is None else listing.title
        if title is not None:
            await conn.execute(
                query("set_listing_title"),
                {
                    "pms": pms.name,
                    "slug": row.slug,
                    "listing_id": row.listing_id,
                    "title": title.replace("\0", "")[:_LONGEST],
                },
            )
        others = [slug for slug in shared.get(row.listing_id, ()) if slug != row.slug]
        if checked and not row.known:
            faults = (*faults, "the site has no property with this slug")
            mend = f"outbox listings remove {token(row.slug) or 'SLUG'}"
        elif checked and others:
            same = f"{', '.join(others)} has the same listing: both would block one calendar"
            faults, mend = (*faults, same), _set(row)
        yield ListingCheck(
            slug=row.slug,
            listing_id=row.listing_id,
            title=title,
            currency=None if listing is None else listing.currency,
            fault="; ".join(faults) or None,
            checked=checked,
            mend=mend,
        )


def _set(row: ListingRow) -> str:
    return f"outbox listings set {token(row.slug) or 'SLUG'} LISTING_ID"


async def _ask(
    pms: PmsReader, listing_id: str, currency: str
) -> tuple[Listing | None, tuple[str, ...]]:
    """The listing, if there is one, and what is wrong with it."""
    try:
        answer = await pms.listing(listing_id)
    except PmsUnansweredError as error:
        return None, (f"{NOT_CHECKED}{error}",)
    match answer:
        case Listing():
            return answer, tuple(_faults(answer, currency))
        case Absent():
            return None, ("the PMS has no such listing",)
        case RateLimited():
            return None, (f"{NOT_CHECKED}the PMS asks us to slow down",)
        case Misconfigured():
            raise ask_pms.refused_access(answer, pms)
        case Unavailable(message=message):
            return None, (f"{NOT_CHECKED}{message}",)
        case Rejected(message=message):
            return None, (f"the PMS refused the question: {message}",)
        case _:
            assert_never(answer)


def _faults(listing: Listing, currency: str) -> Iterator[str]:
    if not listing.active:
        yield "the PMS has it, but not as active"
    if listing.currency not in {None, currency}:
        yield (
            f"it is priced in {listing.currency}, and BOOKING_CURRENCY is {currency}:"
            " what a guest has paid would be taken for another amount"
        )


def _slugs_by_listing(rows: Sequence[ListingRow]) -> dict[str, list[str]]:
    """Properties by their listing; a slug that the site does not have is none."""
    slugs: dict[str, list[str]] = {}
    for row in rows:
        if row.listing_id is not None and row.known:
            slugs.setdefault(row.listing_id, []).append(row.slug)
    return slugs


def _check_word(what: str, word: str) -> None:
    if not 1 <= len(word) <= _LONGEST or not word.isprintable() or word != word.strip():
        raise RefusedError(
            f"the {what} is not usable: 1 to {_LONGEST} printable characters, no space around them"
        )
