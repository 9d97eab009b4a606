"""One parse function for each form that a setting can have.

Each takes the text of one setting and raises ValueError with the end of a sentence that begins with
the setting's name: what is wrong and what to write instead, never the text itself.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from outbox_worker.settings_types import Address, Secret

E = TypeVar("E", bound=StrEnum)

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(localhost|([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63})"
)
_EMAIL_MAX = 254
_PORT_MAX = 65535
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def boolean(text: str) -> bool:
    """A yes or a no, in one of the eight words that mean it."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("is neither true nor false: write true or false (1/0, yes/no, on/off)")


def integer(*, least: int, most: int) -> Callable[[str], int]:
    """Parser of a whole number in [least, most]."""

    def parse(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,12}", text) and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"is not usable: write a whole number from {least} to {most}")

    return parse


def duration(unit: timedelta, *, least: float, most: float) -> Callable[[str], timedelta]:
    """Parser of a decimal number of ``unit`` in [least, most]."""

    def parse(text: str) -> timedelta:
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) and least <= float(text) <= most:
            # rounded up: a duration above zero never becomes zero
            return timedelta(
                microseconds=math.ceil(float(text) * (unit / timedelta(microseconds=1)))
            )
        raise ValueError(
            f"is not usable: write a number from {least:g} to {most:g}, without a unit"
        )

    return parse


def choice(words: type[E]) -> Callable[[str], E]:
    """Parser of one word of an enum, whatever its case."""

    def parse(text: str) -> E:
        try:
            return words(text.lower())
        except ValueError:
            known = ", ".join(words)
            raise ValueError(f"is not a known word: write one of {known}") from None

    return parse


def address(text: str) -> Address:
    """``host:port``, an IPv6 host in brackets."""
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > _PORT_MAX:
        raise ValueError("is not host:port: write for example 127.0.0.1:8080 or [::1]:8080")
    if match[1] is not None and not _is_ipv6(match[1]):
        raise ValueError("has no IPv6 address between its brackets: write for example [::1]:8080")
    if match[2] is not None and not _HOST.fullmatch(match[2]):
        raise ValueError("has no usable host name: write for example 127.0.0.1:8080")
    return Address(host=match[1] or match[2], port=int(match[3]))


def email(text: str) -> str:
    """One bare e-mail address, without a display name."""
    if len(text) <= _EMAIL_MAX and _EMAIL.fullmatch(text):
        return text
    raise ValueError("is not an e-mail address: write for example ops@example.com, without a name")


def emails(text: str) -> tuple[str, ...]:
    """Comma-separated e-mail addresses, each once."""
    parts = [part.strip() for part in text.split(",")]
    for number, part in enumerate(parts, start=1):
        try:
            email(part)
        except ValueError:
            raise ValueError(
                f"has an entry (number {number}) that is not an e-mail address: "
                "write addresses such as ops@example.com, separated by commas"
            ) from None
    return tuple(dict.fromkeys(parts))


def web_address(text: str) -> str:
    """An https address; plain http, which shows keys to the network, to loopback hosts alone."""
    parts = _split(text, schemes=("https", "http"), example="https://api.example.com/v1")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(
            "begins with http:// but its host is not this machine: keys would travel in the clear; "
            "write https://"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user name or password: give keys in the settings made for them")
    return text


def base_address(text: str) -> str:
    """A web address that paths are added to: no query, no fragment, no slash at its end."""
    web_address(text)
    if "?" in text or "#" in text:
        raise ValueError("has a query or fragment: write the base address alone")
    return text.rstrip("/")


def unversioned_address(text: str) -> str:
    """A base address whose version is added here, with each path."""
    base = base_address(text)
    if re.search(r"/v[0-9]+$", base):
        raise ValueError(
            "ends with a version: write the address without the version,"
            " for example https://open-api.guesty.com"
        )
    return base


def smtp_address(text: str) -> Secret:
    """``smtps://`` or ``smtp://`` address with a host; ``?starttls`` insists on encryption."""
    example = "smtps://user:password@mail.example.com:465"
    parts = _split(text, schemes=("smtp", "smtps"), example=example)
    if parts.query not in {"", "starttls"}:
        raise ValueError("has an unknown option: ?starttls is the only one")
    return Secret(text)


def secret_web_address(text: str) -> Secret:
    """A web address that is itself the key."""
    return Secret(web_address(text))


def chat_webhook(text: str) -> Secret:
    """A chat's incoming webhook that takes Slack's messages."""
    parts = urlsplit(web_address(text))
    discord = f".{parts.hostname}".endswith((".discord.com", ".discordapp.com"))
    if discord and not parts.path.rstrip("/").endswith("/slack"):
        raise ValueError("is Discord's own webhook: add /slack at its end")
    return Secret(text)


def key(text: str) -> Secret:
    """An API key: printable ASCII without spaces, so that it fits into a header."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError(
            "holds a space, a line break or a character outside ASCII: copy the key again, alone"
        )
    return Secret(text)


def signing_secrets(text: str) -> tuple[Secret, ...]:
    """Comma-separated signing secrets of Stripe endpoints, new and old while rotating."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError(
            "has an empty entry, which would let anybody sign: write whsec_… values separated by "
            "single commas"
        )
    if any(part.startswith(("sk_", "pk_", "rk_")) for part in parts):
        raise ValueError(
            "holds an API key: copy the endpoint's signing secret (whsec_…) from Stripe's page of "
            "webhooks"
        )
    return tuple(key(part) for part in parts)


def postgres(text: str) -> Secret:
    """A libpq URL or keyword string."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(text)
    except (psycopg.Error, UnicodeError):
        # libpq's own message quotes the text, password and all
        raise ValueError(
            "is not a connection string of Postgres: write "
            "postgresql://user:password@host:5432/database (special characters of the password "
            "percent-encoded)"
        ) from None
    return Secret(text)


def currency(text: str) -> str:
    """ISO 4217 code, upper-cased."""
    if re.fullmatch(r"[A-Za-z]{3}", text):
        return text.upper()
    raise ValueError("is not a currency: write its three letters, such as EUR")


def stripe_account(text: str) -> str:
    """Id of a Stripe account."""
    if re.fullmatch(r"acct_[A-Za-z0-9_]{1,64}", text):
        return text
    raise ValueError(
        "is not a Stripe account id: write acct_…, or remove it to accept every account"
    )


def word(text: str) -> str:
    """A name of up to 100 printable characters."""
    if text.isprintable() and len(text) <= 100:  # noqa: PLR2004 - the audit log's column is read by people
        return text
    raise ValueError("is not a name: write up to 100 printable characters")


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address means this machine, without asking any name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6  # noqa: PLR2004 - the name of the protocol
    except ValueError:
        return False


def _split(text: str, *, schemes: tuple[str, ...], example: str) -> SplitResult:
    wrong = ValueError(f"is not a usable address: write for example {example}")
    # urlsplit silently drops line breaks and tabs
    if not _PRINTABLE.fullmatch(text):
        raise wrong
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        raise wrong from None
    if not usable:
        raise wrong
    return parts
