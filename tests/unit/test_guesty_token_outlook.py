"""What the next call of Guesty meets, as people are told before it is made."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from outbox_worker.gate.token_state import UNFINISHED, TokenRow
from outbox_worker.pms.guesty_token import Outlook, outlook
from tests.unit.test_guesty_token import EMPTY, HOUR, MINUTE, NOW, OURS, aged, failed, requests

SPENT = requests(*(age * HOUR for age in (20, 15, 10, 5, 1)))
FREE_AT = NOW + 4 * HOUR + MINUTE


def ours(row: TokenRow) -> TokenRow:
    return replace(row, failing=OURS.credentials)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (EMPTY, Outlook()),
        (ours(aged(HOUR)), Outlook(kept=True)),
        (failed("http_503", 10 * MINUTE), Outlook(waits_until=NOW + 10 * MINUTE)),
        (failed("http_503", -MINUTE), Outlook()),
        (failed("credentials_refused", 6 * HOUR), Outlook(waits_until=NOW + 6 * HOUR)),
        (failed(UNFINISHED, MINUTE), Outlook()),
        (ours(replace(EMPTY, requests=SPENT)), Outlook(waits_until=FREE_AT)),
        (failed("http_503", HOUR, replace(EMPTY, requests=SPENT)), Outlook(waits_until=FREE_AT)),
        (
            failed("http_503", 6 * HOUR, replace(EMPTY, requests=SPENT)),
            Outlook(waits_until=NOW + 6 * HOUR),
        ),
        # one that was given up and has not ended serves when there can be no other
        (ours(aged(2 * HOUR, refused=True, requests=SPENT)), Outlook(kept=True)),
        (ours(aged(2 * HOUR, refused=True, requests=SPENT[1:])), Outlook()),
        (
            ours(aged(timedelta(hours=30), requests=SPENT)),
            Outlook(waits_until=FREE_AT),
        ),
    ],
)
def test_a_token_is_kept_requested_or_waited_for(row: TokenRow, expected: Outlook) -> None:
    assert outlook(row) == expected
