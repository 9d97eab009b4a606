"""Keeps guest data out of what others say of a booking, such as a PMS's error texts. Pure.

What was sent, or what the site holds, is known, so it is searched for, in any case, with or without
accents: the name and its parts, the e-mail, the phone number, and stretches of the notes. Whatever
looks like an e-mail or a phone number goes too, and every quoted value that is not a field's name,
since those belong to other guests.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Protocol

from outbox_worker.pms import safe_text

_MASK = "[…]"
#: Longer texts are cut before they are searched; far beyond what is kept of them.
_LONGEST_SEARCHED = 2000
#: A stretch of the notes this long is no coincidence.
_STRETCH = 12
_SHORTEST_INSIDE_A_WORD = 4

_EMAIL = re.compile(r"[^\s@<>\"'`(),;:]+@[^\s@<>\"'`(),;]+")
_PHONE = re.compile(r"(?<!\w)\+?\(?\d(?:[ ()./\-\u2010-\u2015]{0,2}\d){6,}(?!\w)")
_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)")
_QUOTED = re.compile(
    r"(?<!\w)(?P<quote>[\"'`])(?P<value>(?:(?!(?P=quote)).)+)(?P=quote)(?!\w)"
    r"|[\u2018-\u201f\u2039\u203a\xab\xbb](?P<printed>[^\u2018-\u201f\u2039\u203a\xab\xbb]+)"
    r"[\u2018-\u201f\u2039\u203a\xab\xbb]"
)
_FIELD_NAME = re.compile(r"[a-z_$][a-z0-9_.$\[\]-]{0,40}", re.ASCII)
_OWN_NOTE = re.compile(
    r"(?:Children|Infants): \d+|(?:Pet|Early check-in|Late check-out): yes|Booking Reference: .*"
)
_LABEL = re.compile(r"(?:Purpose|Company|Country): (?P<value>.*)")


class Known(Protocol):
    """What is known of a stay and its guest: a reservation that was sent, or a booking's guest."""

    @property
    def guest_name(self) -> str:
        """First and last name."""

    @property
    def guest_email(self) -> str | None:
        """None where there is none."""

    @property
    def guest_phone(self) -> str | None:
        """None where there is none."""

    @property
    def notes(self) -> str:
        """What the guest wrote, with or without labels of ours, in lines."""

    @property
    def reference(self) -> str:
        """Not the guest's: it is never masked."""

    @property
    def listing_id(self) -> str:
        """Not the guest's: it is never masked; empty where it is not known."""


def scrubbed(text: str, known: Known, *, limit: int) -> str:
    """What may be stored and shown of a text about a stay.

    Args:
        text: Anything.
        known: Its guest's data is what must not come back.
        limit: Longest result in characters.

    Returns:
        One line of printable characters; masked stretches read ``[…]``.
    """
    shortened = _shortened(safe_text.line(text))
    folded, origin = _fold(shortened)
    hidden = bytearray(len(shortened))
    for start, end in _guest_spans(folded, known):
        for position in origin[start:end]:
            hidden[position] = 1
    shown: list[str] = []
    for letter, mask in zip(shortened, hidden, strict=True):
        if mask:
            if not shown or shown[-1] != _MASK:
                shown.append(_MASK)
        elif letter.isprintable():
            shown.append(letter)
    return safe_text.cut(" ".join("".join(shown).split()), limit)


def mentions_guest(words: str, known: Known) -> bool:
    """Whether a short text, such as an error code, holds guest data."""
    return any(_guest_spans(_fold(words.replace("_", " "))[0], known))


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_SEARCHED:
        return text
    # the last word may be half an address, which no pattern would know any more
    return text[:_LONGEST_SEARCHED].rpartition(" ")[0]


def _fold(text: str) -> tuple[str, list[int]]:
    """Text without accents, case, invisible letters and double spaces; where each came from."""
    letters: list[str] = []
    origin: list[int] = []
    for position, letter in enumerate(text):
        for part in unicodedata.normalize("NFKD", letter):
            if unicodedata.combining(part) or unicodedata.category(part) == "Cf":
                continue
            for folded in part.casefold():
                if not (folded == " " and letters[-1:] == [" "]):
                    letters.append(folded)
                    origin.append(position)
    return "".join(letters), origin


def _guest_spans(folded: str, known: Known) -> Iterator[tuple[int, int]]:
    kept = [_fold(known.reference)[0], _fold(known.listing_id)[0]]
    shown = [span for word in kept if word for span in _occurrences(folded, word)]
    shown += [match.span() for match in _DATE.finditer(folded)]
    for match in _PHONE.finditer(_blank(folded, shown)):
        yield match.span()
    for match in _EMAIL.finditer(folded):
        yield match.span()
    for match in _QUOTED.finditer(_blank(folded, shown)):
        value = match["value"] or match["printed"]
        if value.strip() and not _FIELD_NAME.fullmatch(value):
            yield match.span()
    if known.guest_phone is not None:
        yield from _phone_spans(folded, known.guest_phone)
    for word in _words(known):
        yield from _occurrences(folded, word)
    for written in _written(known):
        yield from _stretches(folded, written)


def _blank(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _words(known: Known) -> set[str]:
    """The guest's name and its parts, the e-mail's local part and its parts; folded."""
    name = _fold(known.guest_name)[0]
    address = _fold(known.guest_email or "")[0]
    local = address.partition("@")[0]
    parts = {*re.split(r"[\W_]+", name), *re.split(r"[\W\d_]+", local)}
    # one letter alone tells nobody's name and would mask every article
    return {word for word in (name, address, local, *parts) if len(word) > 1}


def _occurrences(folded: str, word: str) -> Iterator[tuple[int, int]]:
    pattern = re.escape(word)
    if len(word) < _SHORTEST_INSIDE_A_WORD and word.isascii():
        pattern = rf"(?<!\w){pattern}(?!\w)"
    for match in re.finditer(pattern, folded):
        yield match.span()


def _phone_spans(folded: str, phone: str) -> Iterator[tuple[int, int]]:
    digits = re.sub(r"\D", "", _fold(phone)[0])
    local = digits[-7:]  # a PMS may drop or rewrite the country code
    if len(local) >= _SHORTEST_INSIDE_A_WORD:
        for match in re.finditer(r"[\d ()+./-]*" + r"\D{0,2}".join(local), folded):
            yield match.span()


def _written(known: Known) -> Iterator[str]:
    """What the guest wrote into the notes, folded, line by line."""
    for line in known.notes.split("\n"):
        if not _OWN_NOTE.fullmatch(line) or (
            line.startswith("Booking Reference: ")
            and line != f"Booking Reference: {known.reference}"
        ):
            label = _LABEL.fullmatch(line)
            yield _fold(label["value"] if label else line)[0].strip()


def _stretches(folded: str, written: str) -> Iterator[tuple[int, int]]:
    if len(written) < _STRETCH:
        if len(written) >= _SHORTEST_INSIDE_A_WORD - 1:
            yield from _occurrences(folded, written)
        return
    for start in range(len(folded) - _STRETCH + 1):
        if folded[start : start + _STRETCH] in written:
            yield start, start + _STRETCH
