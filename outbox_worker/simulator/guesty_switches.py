"""Standing behaviour of the stand-in when it speaks the Guesty API. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

from outbox_worker.simulator.form import Form
from outbox_worker.simulator.reservation import RequestRefusedError

E = TypeVar("E", bound=IntEnum)

_DAY_S = 86_400
_LONGEST_S = 1e9
_MOST = 1_000_000_000


class Unavailable(IntEnum):
    """HTTP status of a refusal for dates that are taken."""

    UNAUTHORIZED = 401
    UNPROCESSABLE = 422
    BAD_REQUEST = 400


class Denied(IntEnum):
    """HTTP status of a refusal for a token that is unknown or has expired."""

    FORBIDDEN = 403
    UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestySwitches:
    """What a rehearsal may change while it runs.

    Args:
        status_lag_s: So long do reads show the status before a change of it.
        search_lag_s: So long do searches miss a new reservation.
        change_lag_s: So long is a new reservation not found by changes, though reads show it.
        token_seconds: Life of a token granted from now on.
        token_quota: Requests for tokens that a client has in 24 hours.
        rate_second, rate_minute, rate_hour: Calls in each window; 0: any number. As many as in a
            second may be under way at once.
        unavailable: See `Unavailable`.
        denied: See `Denied`.
        form: Shape of every refusal; None: each in its own.
        repricing: Whether a change of dates, guests or listing replaces the fare by a price of the
            PMS's own.
        email_required: Whether a guest without an e-mail address is refused, as the documents say.
        units: Whether listings have several units: reads name the unit beside the listing, and by
            id not the guests by kind.
        promotion_percent: Off the fare of a create that does not say ``applyPromotions: false``.
    """

    status_lag_s: float = 0.5
    search_lag_s: float = 0.0
    change_lag_s: float = 0.0
    token_seconds: int = _DAY_S
    token_quota: int = 5
    rate_second: int = 15
    rate_minute: int = 120
    rate_hour: int = 5000
    unavailable: Unavailable = Unavailable.UNAUTHORIZED
    denied: Denied = Denied.FORBIDDEN
    form: Form | None = None
    repricing: bool = True
    email_required: bool = True
    units: bool = False
    promotion_percent: int = 10

    def document(self) -> dict[str, Any]:
        """The switches as the control API shows and takes them."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestySetup:
    """How to start it.

    Args:
        client_id: The one that gets tokens; None: any.
        client_secret: Of that client; None: any.
        switches: At the start and after a reset.
    """

    client_id: str | None = None
    client_secret: str | None = None
    switches: GuestySwitches = dataclasses.field(default_factory=GuestySwitches)


def guesty_setup(
    pms: str,
    *,
    api_key: str | None,
    client_id: str | None,
    client_secret: str | None,
    token_seconds: int | None,
    token_quota: int | None,
    rate: tuple[int, int, int] | None,
) -> GuestySetup | None:
    """How to start it by the options of its command line.

    Args:
        pms: ``guestly`` or ``guesty``.
        api_key: What only the Guestly contract knows.
        client_id: See `GuestySetup`.
        client_secret: See `GuestySetup`.
        token_seconds: See `GuestySwitches`; None: as Guesty has it.
        token_quota: See `GuestySwitches`; None: as Guesty has it.
        rate: Calls a second, a minute and an hour; None: as Guesty has it.

    Returns:
        None for the Guestly contract.

    Raises:
        RequestRefusedError: An option is none of this API's.
    """
    own = (client_id, client_secret, token_seconds, token_quota, rate)
    if pms == "guestly":
        if any(value is not None for value in own):
            raise _refused(
                "--client-id, --client-secret, --token-seconds, --token-quota and --rate"
                " need --pms guesty"
            )
        return None
    if api_key is not None:
        raise _refused("--api-key is for --pms guestly; use --client-id and --client-secret")
    changes: dict[str, Any] = {}
    if token_seconds is not None:
        changes["token_seconds"] = token_seconds
    if token_quota is not None:
        changes["token_quota"] = token_quota
    if rate is not None:
        changes |= dict(zip(("rate_second", "rate_minute", "rate_hour"), rate, strict=True))
    switches = switched(GuestySwitches(), changes)
    return GuestySetup(client_id=client_id, client_secret=client_secret, switches=switches)


def switched(switches: GuestySwitches, changes: Mapping[str, Any]) -> GuestySwitches:
    """The switches after changes by name.

    Raises:
        RequestRefusedError: 422; a value makes no sense.
    """
    return dataclasses.replace(
        switches, **{name: _value(name, value) for name, value in changes.items()}
    )


def _value(name: str, value: Any) -> Any:
    match name:
        case "status_lag_s" | "search_lag_s" | "change_lag_s":
            return _number(name, value)
        case "unavailable":
            return _one_of(name, value, Unavailable)
        case "denied":
            return _one_of(name, value, Denied)
        case "form":
            return _form(value)
        case "repricing" | "email_required" | "units":
            if not isinstance(value, bool):
                raise _refused(f"{name} must be true or false")
            return value
        case "promotion_percent":
            return _whole(name, value, most=100)
        case _:
            return _whole(name, value, most=_MOST)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LONGEST_S:
        raise _refused(f"{name} must be seconds")
    return float(value)


def _whole(name: str, value: Any, *, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _refused(f"{name} must be a whole number from 0 to {most}")
    return value


def _one_of(name: str, value: Any, kind: type[E]) -> E:
    try:
        return kind(value)
    except ValueError:
        raise _refused(
            f"{name} must be one of {', '.join(str(one.value) for one in kind)}"
        ) from None


def _form(value: Any) -> Form | None:
    try:
        return None if value is None else Form(value)
    except ValueError:
        raise _refused(f"form must be null or one of {', '.join(Form)}") from None


def _refused(message: str) -> RequestRefusedError:
    return RequestRefusedError(422, "INVALID_SWITCH", message)
