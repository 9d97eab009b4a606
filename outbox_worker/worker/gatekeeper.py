"""The worker's side of the destinations' gates: calls of the common limit, probes, and evidence.

The gates themselves are rows that all workers share. What a worker learns from its calls is
recorded before the results are settled, so that nothing more is claimed in between.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from outbox_worker.database import Connection, translated
from outbox_worker.errors import DatabaseBusyError, DatabaseUnreachableError, OutboxError
from outbox_worker.events import Event
from outbox_worker.gate import circuit as breaker
from outbox_worker.gate import store
from outbox_worker.gate.circuit import Cause, Circuit, Evidence, Observation, State
from outbox_worker.gate.rate import Window
from outbox_worker.gate.token_state import NO_TOKEN
from outbox_worker.outbox.delivery import DeliveryId, Destination, WorkerId
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Park, Retry, Wait
from outbox_worker.outbox.store import Look
from outbox_worker.pms.guesty_token_words import QUOTA_SPENT, REFUSED_ACCESS
from outbox_worker.pms.port import Remaining
from outbox_worker.telemetry import logger
from outbox_worker.worker import alarm
from outbox_worker.worker.call_budget import CallBudget
from outbox_worker.worker.execute import Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """How one destination is spared.

    Args:
        circuit_failures: Unanswered calls in a row that open its circuit.
        windows: Limits of all workers' calls together; empty: none.
        calls_per_claim: Most calls that one claim makes; see `port.Pms.most_calls`.
        quiet: A row whose write is unknown sends nothing for so long, so it is no probe.
        name: The PMS as settings name it.
        heard: What the destination said of its limits since it was asked last.
    """

    circuit_failures: int
    windows: tuple[Window, ...]
    calls_per_claim: int
    quiet: timedelta
    name: str
    heard: Callable[[], Sequence[Remaining]] = tuple


class Gatekeeper:
    """Asks the gates for permission, and tells them what the calls came to.

    Args:
        rules: Of the destinations that have a gate; the others are never held up.
        owner: This worker.
        lease: How long the others wait for the result of our probe.
    """

    def __init__(
        self, rules: Mapping[Destination, GateRules], *, owner: WorkerId, lease: timedelta
    ) -> None:
        self._rules = rules
        self._owner = owner
        self._lease = lease
        self._seen: list[tuple[Destination, Observation]] = []
        #: Whose plain answer was noted last, if nothing else was noted or told since.
        self._answered: Destination | None = None
        self._suspect: set[Destination] = set()
        self._budgets = {
            destination: CallBudget(
                destination,
                windows=rule.windows,
                calls_per_claim=rule.calls_per_claim,
                heard=rule.heard,
            )
            for destination, rule in rules.items()
        }
        self._started = False

    @property
    def owner(self) -> WorkerId:
        """Whose claims it speaks for."""
        return self._owner

    async def allow(self, conn: Connection, destination: Destination) -> bool:
        """Have calls for one claim in hand; False: the common limit has none at present."""
        if self.affordable(destination, 1):
            return True
        return self.waits(destination) == 0 and await self.take(conn, destination, 1)

    async def start(self, conn: Connection) -> None:
        """Once: new settings may be right where the old ones were wrong."""
        if self._started:
            return
        with contextlib.suppress(DatabaseBusyError), translated():
            for destination in self._rules:
                await store.allow_probe(conn, destination, cause=Cause.MISCONFIGURED)
            self._started = True

    def waits(self, destination: Destination) -> float:
        """Seconds until the common limit may have calls for us again; 0: it may have them now."""
        budget = self._budgets.get(destination)
        return 0.0 if budget is None else budget.waits

    def affordable(self, destination: Destination, free: int) -> int:
        """How many claims the calls in hand allow, up to ``free``."""
        budget = self._budgets.get(destination)
        return free if budget is None else budget.affordable(free)

    def reserve(self, destination: Destination, claims: int) -> None:
        """Set the calls of new claims aside."""
        if destination in self._budgets:
            self._budgets[destination].reserve(claims)

    async def take(self, conn: Connection, destination: Destination, claims: int) -> bool:
        """Take calls for up to so many claims out of the common limit; whether there were any."""
        return await self._budgets[destination].take(conn, claims)

    async def probe_row(self, conn: Connection, destination: Destination) -> DeliveryId | None:
        """Become the fleet's one prober of a destination; the row to probe with, or None."""
        if destination not in self._rules:
            return None
        try:
            with translated():
                row = await store.take_probe(
                    conn,
                    destination,
                    owner=self._owner,
                    lease=self._lease,
                    quiet=self._rules[destination].quiet,
                )
        except DatabaseBusyError:
            return None
        if row is not None and not await self.allow(conn, destination):
            self.not_probed(destination, row)
            return None
        if row is not None:
            logger().info(
                Event.CIRCUIT_PROBED,
                message=f"{self._rules[destination].name.title()}: one call to see whether"
                " it works again",
                destination=destination,
                delivery_id=row,
            )
        return row

    def not_probed(self, destination: Destination, row: DeliveryId) -> None:
        """Nothing was sent, as somebody else has the row or the calls: let it be tried anew."""
        self._note(destination, Observation(delivery=row, evidence=Evidence.NONE, probe=True))

    async def redrive(
        self, conn: Connection, destination: Destination, look: Look, *, limit: int
    ) -> bool:
        """Make some rows due that an outage gave up, now that it is over; whether any were."""
        if look.redrive_before is None or destination not in self._rules:
            return False
        try:
            with translated():
                rows = await store.redrive(
                    conn, destination, before=look.redrive_before, limit=limit
                )
        except DatabaseBusyError:
            return False
        if rows:
            logger().info(
                Event.DELIVERY_REDRIVEN,
                message=f"{len(rows)} given up during the outage are tried again",
                destination=destination,
                count=len(rows),
            )
        return bool(rows)

    def looked(self, looks: Mapping[Destination, Look]) -> None:
        """Remember whose last calls failed: only their successes have to be recorded."""
        for destination, look in looks.items():
            if look.suspect:
                self._suspect.add(destination)
            else:
                self._suspect.discard(destination)

    def saw(self, finished: Finished, *, conclusive: bool = False) -> None:
        """Take note of a claim that has ended.

        Args:
            finished: The claim and what became of it.
            conclusive: It counts like a probe although it was not claimed as one: a person sent it
                past the gate.
        """
        claim = finished.claim
        if claim.destination not in self._budgets:
            return
        self._budgets[claim.destination].ended(finished.calls)
        probe = claim.probe or conclusive
        if (
            self._answered is claim.destination
            and isinstance(finished.result.outcome, Done)
            and finished.calls
            and not probe
        ):
            return  # one answer after another says nothing that the first one did not say
        seen = observed(finished, probe=probe)
        if seen.evidence is not Evidence.NONE or claim.probe:
            self._note(claim.destination, seen)

    def _note(self, destination: Destination, seen: Observation) -> None:
        self._seen.append((destination, seen))
        plain = seen.evidence is Evidence.ANSWERED and not seen.probe
        self._answered = destination if plain else None

    async def tell(self, conn: Connection) -> bool:
        """Record what was seen, and give back calls that nobody needs.

        Returns:
            Whether a circuit closed, or an alert has to be delivered.

        Raises:
            DatabaseUnreachableError: Nothing is forgotten; the next call tells it again.
        """
        news = False
        for destination, rules in self._rules.items():
            try:
                news |= await self._tell(conn, destination, rules)
            except DatabaseUnreachableError:
                raise
            except DatabaseBusyError:
                pass  # somebody holds the gate: next time
            except OutboxError as error:
                # A gate that cannot be written protects nobody; results are recorded all the same.
                self._forget(destination)
                logger().error(
                    Event.GATE_FAILED,
                    message=f"the gate of {destination} could not be written: {error}",
                    destination=destination,
                    hint=error.hint,
                )
        return news

    def _forget(self, destination: Destination) -> None:
        self._seen = [item for item in self._seen if item[0] is not destination]
        self._answered = None
        if destination in self._budgets:
            self._budgets[destination].forget()

    async def _tell(self, conn: Connection, destination: Destination, rules: GateRules) -> bool:
        told = [item for item in self._seen if item[0] is destination]
        self._answered = None
        seen = [each for _, each in told]
        news = False
        if seen and not self._trivial(destination, seen):
            news = await self._record(conn, destination, rules, seen)
        # calls end while this waits for Postgres: what they say is told next time
        done = {id(item) for item in told}
        self._seen = [item for item in self._seen if id(item) not in done]
        await self._budgets[destination].settle(conn)
        return news

    def _trivial(self, destination: Destination, seen: Sequence[Observation]) -> bool:
        """Whether all is well and was: then nothing is written."""
        return destination not in self._suspect and all(
            each.evidence is Evidence.ANSWERED and not each.probe for each in seen
        )

    async def _record(
        self,
        conn: Connection,
        destination: Destination,
        rules: GateRules,
        seen: Sequence[Observation],
    ) -> bool:
        with translated():
            async with conn.transaction():
                gate = await store.lock(conn, destination)
                after = breaker.observe(
                    gate.circuit,
                    seen,
                    limit=rules.circuit_failures,
                    owner=self._owner,
                    now=gate.now,
                )
                hold = gate.hold.after(seen, now=gate.now)
                closed = after.state is State.CLOSED and gate.circuit.state is not State.CLOSED
                if after != gate.circuit or hold != gate.hold:
                    await store.write_circuit(
                        conn,
                        destination,
                        after,
                        hold,
                        redrive_before=gate.now if closed else None,
                    )
                told = await alarm.tell(
                    conn,
                    destination,
                    rules.name,
                    alarm.Turn(before=gate.circuit, after=after, was=gate.hold, hold=hold),
                )
        if after.failures or hold.since is not None:
            self._suspect.add(destination)
        _say(rules.name.title(), destination, gate.circuit, after)
        return told or closed


def observed(finished: Finished, *, probe: bool) -> Observation:
    """What a finished claim says about its destination."""
    outcome = finished.result.outcome
    evidence, code, retry_after, sure = Evidence.NONE, None, timedelta(0), False
    match outcome:
        case Retry(outage=True):
            evidence, code = Evidence.OUTAGE, outcome.code
        case Wait(outage=True):
            evidence, code, sure = Evidence.OUTAGE, outcome.code, True
            retry_after = outcome.rest or timedelta(0)
        case Retry(http_status=None) | Wait(record=AttemptOutcome.WAITING):
            pass  # our own fault, or a look-up that says nothing about writes
        case Wait(record=AttemptOutcome.MISCONFIGURED):
            evidence, code = Evidence.MISCONFIGURED, outcome.code
            sure = outcome.everybodys
        case Wait(record=AttemptOutcome.RATE_LIMITED):
            evidence, retry_after = Evidence.LIMITED, outcome.due_in or timedelta(0)
        case Park(http_status=None) | Abandon():
            pass  # at most a look-up, and perhaps cut off before its answer
        case _ if finished.calls:
            evidence = Evidence.ANSWERED
    return Observation(
        delivery=finished.claim.id,
        evidence=evidence,
        code=code,
        sure=sure,
        probe=probe,
        retry_after=retry_after,
    )


def why_open(name: str, after: Circuit) -> str:
    """Why nothing more is sent, for the log. No "token:" in it: what follows is masked there."""
    if after.cause is Cause.OUTAGE:
        what = "gives no access token" if after.code == NO_TOKEN else "does not answer"
        return f"{name} {what}, so nothing more is sent until a probe gets through"
    known = REFUSED_ACCESS.get(after.code or "", f"{name} refuses our key or address")
    then = "one can be had again" if after.code == QUOTA_SPENT else "that is mended"
    return f"{known}, so nothing more is sent until {then}"


def _say(name: str, destination: Destination, before: Circuit, after: Circuit) -> None:
    if before.state is State.CLOSED and after.state is State.OPEN:
        logger().error(
            Event.CIRCUIT_OPENED,
            message=why_open(name, after),
            destination=destination,
            error_code=after.code,
        )
    elif before.state is not State.CLOSED and after.state is State.CLOSED:
        logger().info(
            Event.CIRCUIT_CLOSED, message=f"{name} answers again", destination=destination
        )
