"""Which incident it is that nothing gets through to a destination: one for each cause. Pure.

The rows that meet a cause and the gate that it shuts report the same incident, so that whoever
comes first opens it, and nobody tells it twice.
"""

from __future__ import annotations

from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.gate.token_state import NO_TOKEN
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.guesty_token_words import QUOTA_SPENT


def refused(destination: Destination, *, pms: str, code: str | None, error: str = "") -> NewAlert:
    """Our access, or our address, is refused.

    Args:
        destination: Who refuses it.
        pms: The PMS as settings name it.
        code: Error code of the refusal.
        error: The same in a sentence; empty: nobody has one.
    """
    facts = {"code": code or "", "pms": pms}
    return NewAlert(
        kind=AlertKind.MISCONFIGURED,
        fingerprint=f"{destination}:{code}" if code else str(destination),
        facts={**facts, "error": error} if error else facts,
        # requests that brought no token are what has spent it: who was told of them knows
        joins=((AlertKind.CIRCUIT_OPEN, f"{destination}:{NO_TOKEN}"),)
        if code == QUOTA_SPENT
        else (),
    )


def unanswered(destination: Destination, *, pms: str, code: str | None) -> NewAlert:
    """It does not answer, or gives no access token; whichever comes first is told of both.

    Args:
        destination: Who does not answer.
        pms: The PMS as settings name it.
        code: Error code of the last failure.
    """
    outage = (AlertKind.CIRCUIT_OPEN, str(destination))
    lack = (AlertKind.CIRCUIT_OPEN, f"{destination}:{NO_TOKEN}")
    spent = (AlertKind.MISCONFIGURED, f"{destination}:{QUOTA_SPENT}")
    (kind, fingerprint), *joins = (lack, spent, outage) if code == NO_TOKEN else (outage, lack)
    return NewAlert(
        kind=kind,
        fingerprint=fingerprint,
        facts={"code": code or "", "pms": pms},
        joins=tuple(joins),
    )


def resting(destination: Destination, *, pms: str) -> NewAlert:
    """It asks to be left alone; not a shut circuit, so that `store.open_of_gate` leaves it out."""
    return NewAlert(
        kind=AlertKind.CIRCUIT_OPEN,
        fingerprint=f"{destination}:rate_limited",
        facts={"code": "rate_limited", "pms": pms},
    )
