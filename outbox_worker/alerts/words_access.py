"""What a lack of access comes to where its code tells more than "key or address". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from outbox_worker.alerts.phrasing import Step
from outbox_worker.gate.token_state import NO_TOKEN
from outbox_worker.settings_catalogue import KEPT_IN

_RESUME = ("outbox resume guestly",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One such lack.

    Args:
        symptom: For the subject.
        happened: What the PMS has done.
        then: When it goes on.
        step: What to do about it.
    """

    symptom: str
    happened: str
    then: str
    step: Step


#: By error code; all of them are Guesty's.
ACCESS: Mapping[str, Access] = MappingProxyType(
    {
        "token_quota": Access(
            symptom="Guesty grants no more access tokens today",
            happened="Guesty grants five access tokens in 24 hours, and all of them are spent"
            " (token_quota).",
            then="The next one is requested when one of the five is a day old.",
            step=Step(
                text="Look for another program that uses the same client id, and give it one of"
                " its own. When you set other credentials, restart the worker."
            ),
        ),
        NO_TOKEN: Access(
            symptom="Guesty gives no access token",
            happened=f"Guesty's requests for access tokens fail ({NO_TOKEN}), and no booking can be"
            " sent without one.",
            then="The next one is requested by itself after 1 minute, then after 10 and 60. The"
            " last of five a day is kept for 6 hours.",
            step=Step(
                text="See whether Guesty reports an outage, and whether another program uses the"
                " same client id: it spends the same five. Once it works again, there is no need to"
                " wait:",
                commands=_RESUME,
            ),
        ),
        "credentials_refused": Access(
            symptom="Guesty refuses our client id or secret",
            happened="Guesty refuses GUESTY_CLIENT_ID or GUESTY_CLIENT_SECRET"
            " (credentials_refused).",
            then="The same pair is tried again after six hours; each try spends one of five"
            " tokens a day.",
            step=Step(
                text=f"Correct them {KEPT_IN} and restart the worker. If they were right, and it"
                " was mended in Guesty:",
                commands=_RESUME,
            ),
        ),
        "permission_refused": Access(
            symptom="Guesty refuses our access token",
            happened="Guesty refuses a new access token: it probably lacks a permission"
            " (permission_refused).",
            then="One call is tried every five minutes.",
            step=Step(
                text="Give the API client in Guesty access to reservations and listings, then:",
                commands=_RESUME,
            ),
        ),
        "token_address": Access(
            symptom="There is no Guesty at our address",
            happened="GUESTY_API_URL does not lead to Guesty's tokens (token_address).",
            then="One call is tried every five minutes.",
            step=Step(text="Correct GUESTY_API_URL, then restart the worker."),
        ),
    }
)
