"""What the Guesty API changes of a reservation, one call each. Pure."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """The last segment of ``PUT /v1/reservations-v3/ID/…``."""

    STATUS = "status"
    DATES = "dates"
    GUESTS = "guests"
    RELOCATE = "relocate"
    NOTES = "notes"
