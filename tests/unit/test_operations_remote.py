"""A reservation that a person names, held against the booking."""

from __future__ import annotations

import pytest

from outbox_worker.handlers.decide import Wanted
from outbox_worker.operations import remote
from outbox_worker.pms.port import RemoteReservation
from tests.support_booking import LISTING_ID, a_booking


@pytest.mark.parametrize(("reference", "ours"), [(None, True), ("LA-of-another-site", False)])
def test_our_mark_counts_under_the_bookings_own_reference_only(
    reference: str | None, *, ours: bool
) -> None:
    """Another database may have made it by the same means: it is some other guest's stay."""
    booking = a_booking()
    wanted = Wanted(
        cancelled=False,
        fingerprint="wanted",
        listing_id=LISTING_ID,
        check_in=booking.check_in,
        check_out=booking.check_out,
        guest_email=booking.email,
    )
    hit = RemoteReservation(
        reservation_id="0123456789abcdef01234567",
        reference=reference or booking.reference,
        listing_id="another",
        check_in=None,
        check_out=None,
        guest_email=None,
        status="confirmed",
        fingerprint=None,
        marked=True,
    )

    assert remote.compare(hit, booking, wanted, parts={}).ours is ours
