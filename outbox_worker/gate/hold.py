"""The rest that a destination asks for (429): pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from outbox_worker.gate.circuit import Evidence, Observation

#: A destination that asks to be left alone is believed up to here.
LONGEST = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """How long a destination wants to be left alone.

    Args:
        since: When it first asked, without having answered a call since; None: it has not.
        until: When the rest ends that it asked for last; aware UTC.
    """

    since: datetime | None = None
    until: datetime | None = None

    def after(self, seen: Iterable[Observation], *, now: datetime) -> Hold:
        """The rest after some finished claims; an answer ends no rest that was asked for."""
        hold = self
        for each in seen:
            if each.evidence is Evidence.LIMITED:
                until = now + min(each.retry_after, LONGEST)
                hold = Hold(
                    since=hold.since or now,
                    until=until if hold.until is None else max(hold.until, until),
                )
            elif each.evidence is Evidence.ANSWERED:
                hold = replace(hold, since=None)
        return hold

    @property
    def length(self) -> timedelta:
        """From the first request to the end of the rest; zero while it answers."""
        if self.since is None or self.until is None:
            return timedelta(0)
        return self.until - self.since
