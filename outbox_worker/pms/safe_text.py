"""Text of guests and of a PMS, made safe to store, to send and to show. Pure."""

from __future__ import annotations

import re
import unicodedata

_LINE_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_UNSAFE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def block(text: str | None) -> str:
    """Text with its lines: composed (NFC), trimmed, no control characters, no lone surrogates."""
    broken = _LINE_BREAKS.sub("\n", text or "").replace("\t", " ")
    composed = unicodedata.normalize("NFC", _UNSAFE.sub("", broken))
    return "\n".join(part.rstrip() for part in composed.split("\n")).strip()


def line(text: str | None) -> str:
    """As `block`, in one line: a break becomes a space, so that no line can be made up."""
    return block(text).replace("\n", " ")


def is_safe(text: str) -> bool:
    """Whether text is one line without control characters, lone surrogates and outer spaces."""
    return (
        text == text.strip()
        and "\t" not in text
        and not _LINE_BREAKS.search(text)
        and not _UNSAFE.search(text)
    )


def cut(text: str, limit: int) -> str:
    """At most ``limit`` characters, with an ellipsis where some are missing."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
