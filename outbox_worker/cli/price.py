"""How commands tell of a price that is not known to be what was paid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from outbox_worker.cli.layout import wrapped

if TYPE_CHECKING:
    from outbox_worker.operations.price import UnknownPrice


def price_lines(price: UnknownPrice | None, *, with_steps: bool = True) -> Iterator[str]:
    """That it is not known, why, and what to do; nothing where it is known.

    Args:
        price: That it is not known; None: it is.
        with_steps: Without, what to do is told by whoever asks.
    """
    if price is None:
        return
    yield from wrapped(price.sentence, first="note: ")
    if not with_steps:
        return
    yield from wrapped(price.act, first="fix: ")
    yield f"     {price.command}"
