"""Whether what the PMS charges for a stay is known to be what the guest has paid. Pure.

A PMS that is written in parts takes the price once, when a reservation is created, and may set one
of its own later. One that is written as a whole holds the price that was sent last.
"""

from __future__ import annotations

from enum import StrEnum

from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import Parts, PmsName


class Unknown(StrEnum):
    """Why our price is not known to be there.

    ``RESET``: it was, and a change may have put the PMS's own price in its place. ``FOUND``: the
    reservation was found there by a look-up, or named by a person, so that it never was.
    """

    RESET = "reset"
    FOUND = "found"


def unknown(pms: PmsName, held: Parts) -> Unknown | None:
    """Why the price of a live reservation is not known to be ours; None: it is.

    Args:
        pms: Who holds it.
        held: What is on record of its parts.
    """
    if pms is not PmsName.GUESTY or Part.FARE in held:
        return None
    # a create writes both, and no call but a create writes who the guest is
    return Unknown.RESET if Part.CONTACT in held else Unknown.FOUND
