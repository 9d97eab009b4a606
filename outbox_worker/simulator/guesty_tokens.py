"""Tokens of the Guesty API: who gets one, how many a day, and how long they live. Pure."""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from outbox_worker.simulator.form import Form
from outbox_worker.simulator.guesty_refusal import GuestyRefusedError
from outbox_worker.simulator.guesty_switches import GuestySetup, GuestySwitches

_DAY = timedelta(days=1)
_RETRY_AFTER_S = 3600


@dataclass(slots=True)
class TokenDesk:
    """Grants tokens and knows which are good.

    Args:
        setup: Whose credentials are right.
    """

    setup: GuestySetup
    granted: int = 0
    wrong: int = 0
    limited: int = 0
    _ends: dict[str, datetime] = field(default_factory=dict)
    _spent: dict[str, deque[datetime]] = field(default_factory=dict)

    def grant(
        self, form: Mapping[str, str], *, switches: GuestySwitches, token: str, now: datetime
    ) -> dict[str, Any]:
        """Grant ``token``.

        A wrong secret counts against the day's number as a right one does.

        Args:
            form: The fields of the request.
            switches: Quota and life.
            token: Fresh and unguessable.
            now: Aware, UTC.

        Raises:
            GuestyRefusedError: 400, 401 or 429.
        """
        client = form.get("client_id", "")
        spent = self._spent.setdefault(client, deque())
        while spent and now - spent[0] >= _DAY:
            spent.popleft()
        if len(spent) >= switches.token_quota:
            self.limited += 1
            raise GuestyRefusedError(
                429,
                "TOO_MANY_REQUESTS",
                "Too many token requests, try again later.",
                form=Form.MESSAGE,
                headers={"retry-after": str(_RETRY_AFTER_S)},
            )
        spent.append(now)
        if form.get("grant_type") != "client_credentials" or form.get("scope") != "open-api":
            self.wrong += 1
            raise GuestyRefusedError(
                400, "invalid_request", "grant_type or scope is not supported", form=Form.MESSAGE
            )
        if not client or not self._known(client, form.get("client_secret", "")):
            self.wrong += 1
            raise GuestyRefusedError(401, "UNAUTHORIZED", "Invalid client credentials")
        self.granted += 1
        self._ends = {old: ends for old, ends in self._ends.items() if ends > now}
        self._ends[token] = now + timedelta(seconds=switches.token_seconds)
        return {
            "token_type": "Bearer",
            "expires_in": switches.token_seconds,
            "access_token": token,
            "scope": "open-api",
        }

    def good(self, token: str, *, now: datetime) -> bool:
        """Whether it was granted, has not ended and was not revoked."""
        ends = self._ends.get(token)
        return ends is not None and now < ends

    def revoke_all(self) -> None:
        """No token is good any more."""
        self._ends.clear()

    def forget_requests(self) -> None:
        """As if a day had passed since the last request: the quota is whole, tokens stay."""
        self._spent.clear()

    def counted(self, *, switches: GuestySwitches, now: datetime) -> dict[str, Any]:
        """Numbers for the control API.

        Returns:
            ``requests`` is all that reached the desk: ``granted``, ``wrong`` and ``limited``;
            ``spent`` are those of the last 24 hours that count, ``left`` what the busiest client
            has left of its quota.
        """
        spent = [sum(now - at < _DAY for at in times) for times in self._spent.values()]
        return {
            "requests": self.granted + self.wrong + self.limited,
            "granted": self.granted,
            "wrong": self.wrong,
            "limited": self.limited,
            "spent": sum(spent),
            "left": max(0, switches.token_quota - max(spent, default=0)),
            "live": sum(ends > now for ends in self._ends.values()),
        }

    def document(self) -> dict[str, Any]:
        """All of it, for the disk."""
        return {
            "granted": self.granted,
            "wrong": self.wrong,
            "limited": self.limited,
            "tokens": {token: ends.isoformat() for token, ends in self._ends.items()},
            "spent": {
                client: [at.isoformat() for at in times] for client, times in self._spent.items()
            },
        }

    def _known(self, client: str, secret: str) -> bool:
        wanted_client, wanted_secret = self.setup.client_id, self.setup.client_secret
        return bool(secret) and all(
            wanted is None or hmac.compare_digest(shown.encode(), wanted.encode())
            for shown, wanted in ((client, wanted_client), (secret, wanted_secret))
        )


def desk_from(kept: Mapping[str, Any] | None, setup: GuestySetup) -> TokenDesk:
    """The desk that `TokenDesk.document` wrote; None: a fresh one.

    Raises:
        KeyError, TypeError, ValueError: It is not one of ours.
    """
    if kept is None:
        return TokenDesk(setup)
    moment = datetime.fromisoformat
    return TokenDesk(
        setup,
        granted=kept["granted"],
        wrong=kept["wrong"],
        limited=kept["limited"],
        _ends={token: moment(ends) for token, ends in kept["tokens"].items()},
        _spent={
            client: deque(moment(at) for at in times) for client, times in kept["spent"].items()
        },
    )
