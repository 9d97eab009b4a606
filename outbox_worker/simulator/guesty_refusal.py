"""Refusals of the Guesty API, whose shape and status depend on who is asked for what. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outbox_worker.simulator.form import Form, Issue
from outbox_worker.simulator.guesty_switches import Denied, GuestySwitches, Unavailable
from outbox_worker.simulator.reservation import RequestRefusedError

_NO_PERMISSION = "You don't have permission to access, please contact Guesty support."


class GuestyRefusedError(RequestRefusedError):
    """A refusal with the shape that this one has, unless a switch says another.

    Args:
        form: Shape of the body.
        issues: Fields, for a validation.
        headers: Of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        form: Form = Form.ERROR,
        issues: Sequence[Issue] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.form = form
        self.issues = tuple(issues)
        self.headers = dict(headers or {})


def invalid(issues: Sequence[Issue]) -> GuestyRefusedError:
    """Fields are missing or wrong: a bare list of them."""
    text = "; ".join(f"{one.path} {one.message}" for one in issues)
    return GuestyRefusedError(400, "VALIDATION_ERROR", text, form=Form.ISSUES, issues=issues)


def unknown_reservation() -> GuestyRefusedError:
    """No such id: a bare text."""
    return GuestyRefusedError(404, "NOT_FOUND", "Reservation Not Found", form=Form.TEXT)


def unavailable(switches: GuestySwitches) -> GuestyRefusedError:
    """The nights are taken: a 401 by the documents' words, other statuses in the wild."""
    message = "Listing is not available for the requested dates"
    match switches.unavailable:
        case Unavailable.UNAUTHORIZED:
            return GuestyRefusedError(401, "LISTING_IS_NOT_AVAILABLE", message)
        case Unavailable.UNPROCESSABLE:
            return GuestyRefusedError(
                422,
                "CREATE_RESERVATION_ERROR",
                "Failed to create reservation",
                form=Form.ERROR_CODE,
                issues=[Issue(path="", message="LISTING_CALENDAR_BLOCKED")],
            )
        case Unavailable.BAD_REQUEST:
            return GuestyRefusedError(400, "LISTING_IS_NOT_AVAILABLE", message)


def denied(switches: GuestySwitches) -> GuestyRefusedError:
    """No token, an unknown or an expired one: the same refusal."""
    match switches.denied:
        case Denied.FORBIDDEN:
            return GuestyRefusedError(403, "FORBIDDEN", _NO_PERMISSION, form=Form.MESSAGE)
        case Denied.UNAUTHORIZED:
            return GuestyRefusedError(401, "UNAUTHORIZED", "Unauthorized")
