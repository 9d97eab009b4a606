"""The stand-in as one value: what it holds, where it keeps it, how it misbehaves."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from outbox_worker.simulator.effect import Write
from outbox_worker.simulator.guesty_account import Account, account_from
from outbox_worker.simulator.guesty_book import Written
from outbox_worker.simulator.guesty_switches import GuestySetup
from outbox_worker.simulator.journal import Journal
from outbox_worker.simulator.journal_lines import StorageError
from outbox_worker.simulator.ledger import Ledger, Listing, Outcome, Switches
from outbox_worker.simulator.plan import FaultPlan
from outbox_worker.simulator.reservation import Reservation
from outbox_worker.simulator.traffic import Traffic


@dataclass(slots=True)
class StandIn:
    """One running stand-in; its event loop is its only writer.

    Args:
        api_key: The bearer key that callers must show; None: any will do, but one must be shown.
        stopping: Set when the server stops: everything that hangs lets go.
        account: Tokens, limits and switches of the Guesty API; None: it speaks the Guestly
            contract.
    """

    ledger: Ledger
    journal: Journal
    plan: FaultPlan
    traffic: Traffic
    api_key: str | None
    switches: Switches = field(default_factory=Switches)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    account: Account | None = None

    async def create(self, body: object, write: Write) -> Outcome:
        """Create a reservation and wait until that is on disk.

        Raises:
            RequestRefusedError: Nothing was changed.
            StorageError: The effect could not be made durable.
        """
        outcome = self.ledger.create(
            body,
            write=write,
            switches=self.switches,
            # random, not counted: an id must not come back in another state directory
            reservation_id=secrets.token_hex(12),
            now=now(),
        )
        return await self._durable(outcome)

    async def change(self, reservation_id: str, body: object, write: Write) -> Outcome:
        """Change or cancel a reservation and wait until that is on disk.

        Raises:
            RequestRefusedError: Nothing was changed.
            StorageError: The effect could not be made durable.
        """
        outcome = self.ledger.change(
            reservation_id, body, write=write, switches=self.switches, now=now()
        )
        return await self._durable(outcome)

    async def write(self, written: Written, write: Write, *, answer: int) -> Outcome:
        """Hold what the rules of the Guesty API have found good, and wait until it is on disk.

        Nothing may be awaited between the finding and this call.

        Raises:
            StorageError: The effect could not be made durable.
        """
        outcome = self.ledger.accept(
            written.kind,
            written.reservation,
            write,
            altered=written.altered,
            answer=answer,
            now=written.reservation.updated_at,
        )
        return await self._durable(outcome)

    async def delete(self, reservation_id: str, write: Write) -> Outcome:
        """Remove a reservation, as a person in the PMS would.

        Raises:
            RequestRefusedError: It does not exist.
            StorageError: The effect could not be made durable.
        """
        return await self._durable(self.ledger.delete(reservation_id, write=write, now=now()))

    async def get(self, reservation_id: str) -> Reservation:
        """One reservation, once all that is known of it is on disk.

        Raises:
            RequestRefusedError: It does not exist.
        """
        found = self.ledger.get(reservation_id)
        await self.journal.flushed()
        return found

    async def forget_keys(self) -> None:
        """Lose all idempotency keys."""
        self.ledger.forget_keys()
        self.journal.enqueue_forgotten_keys(self.ledger.last_n)
        await self.journal.flushed()

    def list_anew(self, listings: Sequence[Listing]) -> None:
        """Replace the listings."""
        self.journal.keep_listings(listings)
        self.ledger.list_anew(listings)

    async def reset(self) -> None:
        """Back to an empty PMS without faults; the listings stay."""
        await self.journal.clear()
        self.ledger.reset()
        self.plan.clear()
        self.traffic.reset()
        self.switches = Switches()
        if self.account is not None:
            self.account.reset()
            self.keep_tokens(self.account)

    def keep_tokens(self, account: Account) -> None:
        """Write the account's tokens to disk.

        Raises:
            StorageError: They could not be written.
        """
        self.journal.keep_tokens(account.desk.document())

    async def _durable(self, outcome: Outcome) -> Outcome:
        if outcome.effect is not None:
            self.journal.enqueue(outcome.effect)
            self.traffic.count_effect(outcome.effect.kind)
        await self.journal.flushed()
        return outcome


def now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)


def open_stand_in(
    state_dir: Path,
    *,
    api_key: str | None,
    seed: int,
    listings: Sequence[Listing] | None,
    guesty: GuestySetup | None = None,
) -> StandIn:
    """Open a state directory and rebuild what was held.

    Args:
        state_dir: Created when missing.
        api_key: See `StandIn`.
        seed: Of the faults' dice.
        listings: Replace those of the directory; None: keep them.
        guesty: Speak the Guesty API; None: the Guestly contract.

    Raises:
        StorageError: The directory is in use, damaged, not writable, or of the other API.
    """
    journal = Journal(state_dir)
    try:
        ledger, effects, last_request = journal.restore()
        _check_kind(ledger, state_dir, guesty)
        stand_in = StandIn(
            ledger=ledger,
            journal=journal,
            plan=FaultPlan(seed),
            traffic=Traffic(journal=journal, last_request=last_request),
            api_key=api_key,
            account=None if guesty is None else account_from(journal.kept_tokens(), guesty),
        )
        for kind in effects:
            stand_in.traffic.count_effect(kind)
        if listings is not None:
            stand_in.list_anew(listings)
    except BaseException:
        journal.close()
        raise
    return stand_in


def _check_kind(ledger: Ledger, state_dir: Path, guesty: GuestySetup | None) -> None:
    if any((held.guesty is None) is not (guesty is None) for held in ledger):
        raise StorageError(
            f"{state_dir} holds reservations of the other API",
            hint="Start with the --pms that it was made with, or in a directory of its own.",
        )
