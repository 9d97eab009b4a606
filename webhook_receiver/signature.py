"""Whether a body was signed by Stripe: the stripe library's own check, behind guards.

The library lets through a clock far in the future and any number of signatures, and answers some
headers and bodies with errors of other kinds than its own. Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from stripe import SignatureVerificationError, WebhookSignature

#: Seconds that the sender's clock and ours may differ, either way.
TOLERANCE_S = 300
_LONGEST_HEADER = 4096
_MOST_SIGNATURES = 16

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class Refusal(StrEnum):
    """Why a body is not taken for Stripe's; for our log, never for the sender."""

    NO_HEADER = "no_signature"
    SEVERAL_HEADERS = "several_signature_headers"
    HEADER_TOO_LONG = "signature_header_too_long"
    HEADER_MALFORMED = "signature_header_malformed"
    TOO_MANY_SIGNATURES = "too_many_signatures"
    BODY_NOT_UTF8 = "body_not_utf8"
    WRONG_SIGNATURE = "wrong_signature"
    TOO_OLD = "signed_too_long_ago"
    FROM_THE_FUTURE = "signed_in_the_future"


def refusal(
    body: bytes, headers: Sequence[str], *, secrets: Sequence[str], now: float
) -> Refusal | None:
    """Why a body is refused.

    Args:
        body: As it was received, byte by byte.
        headers: Every value of ``Stripe-Signature``, as it was received.
        secrets: Signing secrets, any of which may have signed it; while one is replaced, two are
            valid.
        now: Seconds since the epoch.

    Returns:
        None: the body is Stripe's.
    """
    if len(headers) != 1:
        return Refusal.SEVERAL_HEADERS if headers else Refusal.NO_HEADER
    parsed = _parse(headers[0])
    if isinstance(parsed, Refusal):
        return parsed
    timestamp, signatures = parsed
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Refusal.BODY_NOT_UTF8
    header = ",".join([f"t={timestamp}", *(f"v1={signature}" for signature in signatures)])
    if not any(_matches(text, header, secret) for secret in secrets):
        return Refusal.WRONG_SIGNATURE
    # the age comes last: a valid signature of the wrong time is a clock that is wrong
    if timestamp < now - TOLERANCE_S:
        return Refusal.TOO_OLD
    return Refusal.FROM_THE_FUTURE if timestamp > now + TOLERANCE_S else None


def _parse(header: str) -> tuple[int, list[str]] | Refusal:
    if len(header) > _LONGEST_HEADER:
        return Refusal.HEADER_TOO_LONG
    pairs = [part.strip().partition("=") for part in header.split(",")]
    timestamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(signatures) > _MOST_SIGNATURES:
        return Refusal.TOO_MANY_SIGNATURES
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]):
        return Refusal.HEADER_MALFORMED
    # one that cannot be a signature does not spoil those beside it
    usable = [value for value in signatures if _SIGNATURE.fullmatch(value)]
    return (int(timestamps[0]), usable) if usable else Refusal.HEADER_MALFORMED


def _matches(body: str, header: str, secret: str) -> bool:
    try:
        # without a tolerance: the age is compared above, in both directions
        return bool(WebhookSignature.verify_header(body, header, secret))
    except SignatureVerificationError:
        return False
