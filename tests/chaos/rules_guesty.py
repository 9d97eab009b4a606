"""What only Guesty does: tokens that end, bodies that mislead, effects that show later. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CLIENT_ID = "chaos-client"
#: Looks like guest data, so that a log that quotes it is found.
CLIENT_SECRET = "geheimrat-secret"

#: A token lives so long while faults strike: it ends in the middle of every run.
TOKEN_S = 12
#: Once the faults are over, as in production.
LONG_TOKEN_S = 86_400
#: A token that is refused younger than this part of its life is taken for one without a permission.
YOUNG = 24
#: Calls in a second while the window is narrow.
NARROW = 6

#: Beside what strikes every PMS; its look-up reads by id as well.
MIXED: Sequence[Mapping[str, Any]] = (
    {"fault": "error", "status": 503, "operation": "read", "probability": 0.04},
    {"fault": "timeout", "seconds": 2.0, "operation": "read", "probability": 0.02},
)
#: Whatever the status says, nobody can know from these whether the write took effect. A page with a
#: 200 in place of a look-up is left out: an operator is told, and it is asked again a minute later.
MISLEADING: Sequence[Mapping[str, Any]] = (
    {"fault": "html", "when": "after", "operation": "write", "probability": 0.08},
    {"fault": "html", "operation": "write", "probability": 0.05},
    {"fault": "error", "status": 403, "form": "html", "when": "after", "operation": "write",
     "probability": 0.06},
    {"fault": "error", "status": 401, "form": "text", "message": "Denied", "when": "after",
     "operation": "write", "probability": 0.06},
    {"fault": "error", "status": 403, "form": "message", "message": "Something went wrong",
     "operation": "write", "probability": 0.05},
    {"fault": "error", "status": 500, "form": "issues", "when": "after", "operation": "write",
     "probability": 0.06},
    {"fault": "error", "status": 502, "form": "text", "when": "after", "operation": "write",
     "probability": 0.05},
    {"fault": "error", "status": 500, "form": "error_code", "operation": "write",
     "probability": 0.05},
    {"fault": "error", "status": 403, "form": "html", "operation": "lookup", "probability": 0.05},
    {"fault": "error", "status": 401, "form": "text", "message": "Denied", "operation": "read",
     "probability": 0.05},
)  # fmt: skip
#: Ways to refuse a booking for good.
REFUSALS: Sequence[Mapping[str, Any]] = (
    {"status": 422},
    {"status": 400, "form": "issues"},
    {"status": 401, "code": "LISTING_IS_NOT_AVAILABLE", "message": "Listing is not available"},
    {"status": 400, "form": "error_code", "code": "VALIDATION_ERROR"},
    {"status": 422, "form": "message", "message": "Minimum nights is 3"},
)
#: Ways in which one request for a token fails; the granted token of the last two is lost.
NO_TOKEN: Sequence[Mapping[str, Any]] = (
    {"fault": "error", "status": 503},
    {"fault": "rate_limit", "retry_after": 1},
    {"fault": "break", "when": "after"},
    {"fault": "timeout", "when": "after", "seconds": 2.0},
)


def switches(seed: int, *, lag_s: float) -> dict[str, object]:
    """How Guesty is set up: by turns, so that a run has seen every combination.

    Args:
        seed: Of the run.
        lag_s: How long searches and changes of status lag.
    """
    return {
        # with it, the calendar refuses a double; without it, a double stands
        "availability": seed % 2 == 0,
        "unavailable": (401, 422, 400)[seed % 3],
        "denied": (403, 401)[seed // 2 % 2],
        "search_lag_s": lag_s if seed % 4 < 2 else 0.0,
        "status_lag_s": lag_s,
        "token_seconds": TOKEN_S,
    }
