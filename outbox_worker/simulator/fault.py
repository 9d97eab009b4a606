"""Fault rules: what goes wrong, when, for which calls and how often. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from outbox_worker.errors import OutboxError
from outbox_worker.simulator.effect import Operation
from outbox_worker.simulator.form import Form

#: Guesty changes a reservation by a call for each thing; a rule for ``change`` strikes them all.
_CHANGES = frozenset(
    {
        Operation.CHANGE,
        Operation.STATUS,
        Operation.DATES,
        Operation.GUESTS,
        Operation.RELOCATE,
        Operation.NOTES,
    }
)
_WRITES = _CHANGES | {Operation.CREATE, Operation.CANCEL}
_LOOKUPS = frozenset({Operation.FIND, Operation.LIST})
_EVERYTHING = frozenset(Operation)
#: A token is one of five a day: only a rule that names it may waste one.
_UNNAMED = _EVERYTHING - {Operation.TOKEN}
_GROUPS = {
    "write": _WRITES,
    "lookup": _LOOKUPS,
    "any": _EVERYTHING,
    **{operation.value: frozenset({operation}) for operation in Operation},
    "change": _CHANGES,
}


class FaultError(OutboxError):
    """A rule that makes no sense; the message names the field."""


class FaultKind(StrEnum):
    """What goes wrong."""

    ERROR = "error"
    REJECT = "reject"
    RATE_LIMIT = "rate_limit"
    REDIRECT = "redirect"
    BREAK = "break"
    CUT = "cut"
    TIMEOUT = "timeout"
    LATE = "late"
    LATENCY = "latency"
    SLOW = "slow"
    OVERSIZED = "oversized"
    HTML = "html"
    NO_ID = "no_id"
    FOREIGN = "foreign"
    STALE = "stale"
    UNFILTERED = "unfiltered"


class When(StrEnum):
    """Where the fault strikes; ``before`` the effect means that the effect never happens."""

    BEFORE = "before"
    AFTER = "after"


#: These shape the answer of a call that goes on, and every match applies. Of the others the first
#: match strikes.
MODIFIERS = frozenset({FaultKind.LATENCY, FaultKind.STALE, FaultKind.UNFILTERED})

#: What a kind understands beside the filters, and the calls that it can strike.
_PARAMETERS: Mapping[FaultKind, frozenset[str]] = {
    FaultKind.ERROR: frozenset({"when", "status", "code", "message", "form"}),
    FaultKind.REJECT: frozenset({"status", "code", "message", "form"}),
    FaultKind.RATE_LIMIT: frozenset({"retry_after", "as_date"}),
    FaultKind.REDIRECT: frozenset({"status", "location"}),
    FaultKind.BREAK: frozenset({"when", "reset"}),
    FaultKind.CUT: frozenset({"when"}),
    FaultKind.TIMEOUT: frozenset({"when", "seconds"}),
    FaultKind.LATE: frozenset({"seconds"}),
    FaultKind.LATENCY: frozenset({"seconds", "jitter_s"}),
    FaultKind.SLOW: frozenset({"seconds"}),
    FaultKind.OVERSIZED: frozenset({"when", "bytes", "compressed"}),
    FaultKind.HTML: frozenset({"when", "status"}),
    FaultKind.NO_ID: frozenset(),
    FaultKind.FOREIGN: frozenset(),
    FaultKind.STALE: frozenset({"seconds"}),
    FaultKind.UNFILTERED: frozenset({"uncounted"}),
}
_STRIKES: Mapping[FaultKind, frozenset[Operation]] = {
    FaultKind.NO_ID: _WRITES | _LOOKUPS | {Operation.READ},
    FaultKind.FOREIGN: _WRITES | _LOOKUPS | {Operation.READ},
    FaultKind.STALE: _LOOKUPS,
    FaultKind.UNFILTERED: _LOOKUPS,
}
_STATUS: Mapping[FaultKind, tuple[int, range]] = {
    FaultKind.ERROR: (500, range(400, 600)),
    FaultKind.REJECT: (422, range(400, 500)),
    FaultKind.REDIRECT: (302, range(300, 400)),
    FaultKind.HTML: (200, range(200, 300)),
}
_SECONDS: Mapping[FaultKind, float] = {
    FaultKind.TIMEOUT: 60.0,
    FaultKind.LATE: 10.0,
    FaultKind.LATENCY: 0.0,
    FaultKind.SLOW: 30.0,
    FaultKind.STALE: 30.0,
}
_AFTER_BY_DEFAULT = frozenset({FaultKind.CUT, FaultKind.OVERSIZED})
_LONGEST_SECONDS = 86_400.0
_LARGEST_BODY = 1 << 30
_ELSEWHERE = "https://pms.example.com/elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault and the calls that it strikes.

    Args:
        operations: Calls that it can strike.
        reference: Only calls about this reference; None: any.
        listing_id: Only calls about this listing; None: any.
        probability: Chance of each matching call, 0 to 1.
        skip: So many matching calls pass before it strikes.
        times: It strikes so often, then it is spent; None: for ever.
        status: HTTP status of an injected answer.
        form: Shape of an injected error; None: that of the Guestly contract, or a proxy's page.
        seconds: Duration of the kind: the hang, the delay, the age below which look-ups miss a
            reservation.
        jitter_s: Latency grows by a uniform share of this.
        retry_after: Seconds, or the header's text as it is.
        as_date: Send ``retry_after`` as an HTTP date.
        reset: Break by a TCP reset instead of an orderly close.
        size: Bytes of an oversized body, before compression.
        compressed: Send the oversized body gzipped.
        uncounted: Do not say either how many reservations the unfiltered list has.
    """

    kind: FaultKind
    when: When = When.BEFORE
    operations: frozenset[Operation] = _UNNAMED
    reference: str | None = None
    listing_id: str | None = None
    probability: float = 1.0
    skip: int = 0
    times: int | None = None
    status: int = 500
    code: str | None = None
    message: str | None = None
    form: Form | None = None
    seconds: float = 0.0
    jitter_s: float = 0.0
    retry_after: int | str = 1
    as_date: bool = False
    location: str = _ELSEWHERE
    reset: bool = False
    size: int = 2 << 20
    compressed: bool = False
    uncounted: bool = False

    def matches(
        self, operation: Operation, *, reference: str | None, listing_id: str | None
    ) -> bool:
        """Whether this call is one that the rule can strike."""
        return (
            operation in self.operations
            and self.reference in {None, reference}
            and self.listing_id in {None, listing_id}
        )


def parse(raw: object) -> Rule:
    """One rule out of its JSON form.

    Raises:
        FaultError: Unknown or misplaced fields, values of a wrong type or out of range.
    """
    if not isinstance(raw, Mapping):
        raise FaultError("a rule must be a JSON object")
    fields = _Fields(raw)
    kind = fields.kind()
    default_status, statuses = _STATUS.get(kind, (500, range(400, 600)))
    after = When.AFTER if kind in _AFTER_BY_DEFAULT else When.BEFORE
    rule = Rule(
        kind=kind,
        when=fields.when(after),
        operations=fields.operations(_STRIKES.get(kind, frozenset(Operation))),
        reference=fields.text("reference"),
        listing_id=fields.text("listing_id"),
        probability=fields.number("probability", 1.0, most=1.0),
        skip=fields.whole("skip", 0),
        times=fields.whole("times", 0) or None,
        status=fields.whole("status", default_status, within=statuses),
        code=fields.text("code"),
        message=fields.text("message"),
        form=fields.form(),
        seconds=fields.number("seconds", _SECONDS.get(kind, 0.0)),
        jitter_s=fields.number("jitter_s", 0.0),
        retry_after=fields.retry_after(),
        as_date=fields.flag("as_date"),
        location=fields.text("location") or _ELSEWHERE,
        reset=fields.flag("reset"),
        size=fields.whole("bytes", 2 << 20, within=range(1, _LARGEST_BODY + 1)),
        compressed=fields.flag("compressed"),
        uncounted=fields.flag("uncounted"),
    )
    fields.refuse_the_rest(kind)
    return rule


@dataclass(slots=True)
class _Fields:
    raw: Mapping[str, Any]

    def kind(self) -> FaultKind:
        try:
            return FaultKind(str(self.raw.get("fault")))
        except ValueError:
            known = ", ".join(FaultKind)
            raise FaultError(f"fault must be one of {known}") from None

    def when(self, default: When) -> When:
        try:
            return When(self.raw.get("when", default))
        except ValueError:
            raise FaultError("when must be before or after") from None

    def form(self) -> Form | None:
        name = self.raw.get("form")
        try:
            return None if name is None else Form(name)
        except ValueError:
            raise FaultError(f"form must be one of {', '.join(Form)}") from None

    def operations(self, possible: frozenset[Operation]) -> frozenset[Operation]:
        names = self.raw.get("operation")
        if names is None:
            return possible & _UNNAMED
        listed = names if isinstance(names, list) else [names]
        chosen: frozenset[Operation] = frozenset()
        for name in listed:
            if not isinstance(name, str) or name not in _GROUPS:
                raise FaultError(f"operation must be one or more of {', '.join(_GROUPS)}")
            chosen |= _GROUPS[name]
        if not chosen & possible:
            raise FaultError("this fault cannot strike that operation")
        return chosen & possible

    def text(self, name: str) -> str | None:
        value = self.raw.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.isprintable():
            raise FaultError(f"{name} must be a printable text")
        return value

    def flag(self, name: str) -> bool:
        value = self.raw.get(name, False)
        if not isinstance(value, bool):
            raise FaultError(f"{name} must be true or false")
        return value

    def number(self, name: str, default: float, *, most: float = _LONGEST_SECONDS) -> float:
        value = self.raw.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise FaultError(f"{name} must be a number from 0 to {most:g}")
        return float(value)

    def whole(self, name: str, default: int, *, within: range = range(1_000_000_001)) -> int:
        value = self.raw.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value not in within:
            raise FaultError(f"{name} must be a whole number from {within[0]} to {within[-1]}")
        return value

    def retry_after(self) -> int | str:
        value = self.raw.get("retry_after", 1)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise FaultError("retry_after must be seconds or a text")
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            raise FaultError("retry_after must be printable ASCII")
        return value

    def refuse_the_rest(self, kind: FaultKind) -> None:
        filters = {"fault", "operation", "reference", "listing_id", "probability", "skip", "times"}
        allowed = filters | _PARAMETERS[kind]
        if unknown := sorted(set(self.raw) - allowed):
            raise FaultError(
                f"{kind.value} does not know {', '.join(unknown)}",
                hint=f"It knows {', '.join(sorted(allowed))}.",
            )
