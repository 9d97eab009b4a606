"""What the Guesty API knows of its one account beside the reservations."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from outbox_worker.simulator.guesty_switches import GuestySetup, GuestySwitches
from outbox_worker.simulator.guesty_tokens import TokenDesk, desk_from
from outbox_worker.simulator.guesty_windows import RateWindows
from outbox_worker.simulator.journal_lines import StorageError


@dataclass(slots=True)
class Account:
    """Tokens, limits and switches of one running stand-in."""

    setup: GuestySetup
    switches: GuestySwitches
    desk: TokenDesk
    windows: RateWindows = field(default_factory=RateWindows)

    def take_call(self) -> None:
        """Count a call against the rate limit.

        Raises:
            GuestyRefusedError: 429.
        """
        self.windows.take(self.switches, now_s=time.monotonic())

    def headers(self) -> dict[str, str]:
        """What every answer says of the rate limit."""
        return self.windows.headers(self.switches, now_s=time.monotonic())

    def described(self, *, now: datetime) -> dict[str, Any]:
        """The account for the control API's state."""
        return {
            "tokens": self.desk.counted(switches=self.switches, now=now),
            "rate": self.windows.counted(now_s=time.monotonic()),
        }

    def reset(self) -> None:
        """As at the first start; calls that are under way stay so."""
        self.switches = self.setup.switches
        self.desk = TokenDesk(self.setup)
        self.windows = RateWindows(under_way=self.windows.under_way)


def account_from(kept: Mapping[str, Any] | None, setup: GuestySetup) -> Account:
    """The account with the tokens that were kept; None: a fresh one.

    Raises:
        StorageError: What was kept is damaged.
    """
    try:
        desk = desk_from(kept, setup)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError("tokens.json is damaged") from error
    return Account(setup=setup, switches=setup.switches, desk=desk)
