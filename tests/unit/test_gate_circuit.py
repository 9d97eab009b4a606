"""The circuit breaker as a table of moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.gate.circuit import (
    CLOSED,
    FIRST_PROBE,
    NEXT_ROW,
    PROBE_CAP,
    PROBE_MISCONFIGURED,
    Cause,
    Circuit,
    Evidence,
    Observation,
    State,
    observe,
)
from outbox_worker.outbox.delivery import DeliveryId, WorkerId

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ME, OTHER = WorkerId("me"), WorkerId("other")


def saw(
    evidence: Evidence, row: int = 1, *, probe: bool = False, code: str | None = None
) -> Observation:
    return Observation(delivery=DeliveryId(row), evidence=evidence, probe=probe, code=code)


def after(
    circuit: Circuit, *seen: Observation, now: datetime = NOW, owner: WorkerId = ME
) -> Circuit:
    return observe(circuit, seen, limit=5, owner=owner, now=now)


def failing(rows: list[int]) -> Circuit:
    return after(CLOSED, *(saw(Evidence.OUTAGE, row, code="http_503") for row in rows))


def half_open(circuit: Circuit, owner: WorkerId = ME) -> Circuit:
    return Circuit(
        state=State.HALF_OPEN,
        opens=circuit.opens,
        cause=circuit.cause,
        code=circuit.code,
        opened_at=circuit.opened_at,
        until=circuit.until,
        probe_owner=owner,
        probe_until=NOW + timedelta(seconds=30),
    )


def test_five_failures_in_a_row_over_two_rows_open_it() -> None:
    opened = failing([1, 1, 2, 1, 1])
    assert opened.state is State.OPEN
    assert opened.until == NOW + FIRST_PROBE
    assert (opened.cause, opened.code, opened.opened_at) == (Cause.OUTAGE, "http_503", NOW)


def test_one_row_alone_never_opens_it_however_often_it_fails() -> None:
    assert failing([1] * 50).state is State.CLOSED
    assert failing([1] * 50 + [2]).state is State.OPEN


def test_four_failures_leave_it_closed_and_one_answer_forgets_them() -> None:
    four = failing([1, 2, 3, 4])
    assert (four.state, four.failures) == (State.CLOSED, 4)
    assert after(four, saw(Evidence.ANSWERED)) == CLOSED
    again = after(four, saw(Evidence.ANSWERED), saw(Evidence.OUTAGE, 5))
    assert (again.state, again.failures) == (State.CLOSED, 1)


def test_what_says_nothing_and_a_request_for_rest_do_not_count() -> None:
    four = failing([1, 2, 3, 4])
    assert after(four, saw(Evidence.NONE), saw(Evidence.LIMITED)) == four


def test_an_address_that_is_wrong_for_one_booking_alone_does_not_hold_up_the_others() -> None:
    once = after(CLOSED, saw(Evidence.MISCONFIGURED, code="http_404"))
    assert once.state is State.CLOSED
    assert after(once, *(saw(Evidence.MISCONFIGURED) for _ in range(20))).state is State.CLOSED
    assert after(once, saw(Evidence.MISCONFIGURED, 2)).cause is Cause.MISCONFIGURED
    assert after(once, saw(Evidence.ANSWERED, 2), saw(Evidence.MISCONFIGURED)).failures == 1


def test_a_refused_key_opens_it_at_once_with_a_probe_every_five_minutes() -> None:
    refused = Observation(delivery=DeliveryId(1), evidence=Evidence.MISCONFIGURED, sure=True)
    opened = after(CLOSED, refused)
    assert (opened.state, opened.cause) == (State.OPEN, Cause.MISCONFIGURED)
    assert opened.until == NOW + PROBE_MISCONFIGURED
    again = after(half_open(opened), saw(Evidence.MISCONFIGURED, probe=True))
    assert again.until == NOW + PROBE_MISCONFIGURED


def no_token(*, rest: timedelta = timedelta(0), probe: bool = False) -> Observation:
    return Observation(
        delivery=DeliveryId(1),
        evidence=Evidence.OUTAGE,
        code="token_unavailable",
        sure=True,
        probe=probe,
        retry_after=rest,
    )


def test_an_outage_that_nobody_s_call_escapes_opens_it_at_once_with_one_booking_alone() -> None:
    opened = after(CLOSED, no_token())
    assert (opened.state, opened.cause) == (State.OPEN, Cause.OUTAGE)
    assert (opened.code, opened.until) == ("token_unavailable", NOW + FIRST_PROBE)


def test_no_probe_is_sent_while_it_is_known_to_be_no_use_but_one_a_minute() -> None:
    opened = after(CLOSED, no_token(rest=timedelta(seconds=30)))
    assert opened.until == NOW + timedelta(seconds=30)
    for rest in (timedelta(minutes=10), timedelta(hours=6)):
        again = after(half_open(opened), no_token(rest=rest, probe=True))
        assert (again.opens, again.until) == (2, NOW + PROBE_CAP)
    soon = after(half_open(opened), no_token(rest=timedelta(milliseconds=1), probe=True))
    assert soon.until == NOW + NEXT_ROW


def test_calls_that_began_before_it_opened_change_nothing() -> None:
    opened = failing([1, 2, 3, 4, 5])
    for evidence in Evidence:
        assert after(opened, saw(evidence)) == opened
        assert after(half_open(opened), saw(evidence)) == half_open(opened)


def test_a_probe_that_is_answered_closes_it() -> None:
    opened = half_open(failing([1, 2, 3, 4, 5]))
    assert after(opened, saw(Evidence.ANSWERED, probe=True)) == CLOSED
    assert after(opened, saw(Evidence.LIMITED, probe=True)) == CLOSED


def test_probes_that_fail_double_the_wait_up_to_its_cap() -> None:
    circuit = failing([1, 2, 3, 4, 5])
    waits = []
    for _ in range(8):
        circuit = after(half_open(circuit), saw(Evidence.OUTAGE, probe=True))
        assert circuit.until is not None
        waits.append((circuit.until - NOW).total_seconds())
    assert waits == [10, 20, 40, 60, 60, 60, 60, 60]
    assert circuit.opened_at == NOW


def test_a_probe_that_found_nothing_out_lets_the_next_row_be_tried_soon() -> None:
    circuit = after(half_open(failing([1, 2, 3, 4, 5])), saw(Evidence.NONE, probe=True))
    assert (circuit.state, circuit.until, circuit.opens) == (State.OPEN, NOW + NEXT_ROW, 1)


def test_a_worker_whose_probe_was_taken_over_cannot_open_it_again_but_its_good_news_counts() -> (
    None
):
    taken_over = half_open(failing([1, 2, 3, 4, 5]), owner=OTHER)
    assert after(taken_over, saw(Evidence.OUTAGE, probe=True)) == taken_over
    assert after(taken_over, saw(Evidence.NONE, probe=True)) == taken_over
    assert after(taken_over, saw(Evidence.ANSWERED, probe=True)) == CLOSED


@given(
    st.lists(
        st.builds(
            saw,
            st.sampled_from(Evidence),
            st.integers(min_value=1, max_value=3),
            probe=st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_happens_an_open_circuit_has_a_next_probe_within_its_cap(
    seen: list[Observation],
) -> None:
    circuit = CLOSED
    for each in seen:
        circuit = after(circuit, each)
        if circuit.state is State.OPEN:
            assert circuit.until is not None
            assert circuit.cause is not None
            longest = PROBE_MISCONFIGURED if circuit.cause is Cause.MISCONFIGURED else PROBE_CAP
            assert NOW <= circuit.until <= NOW + longest
            circuit = half_open(circuit) if each.probe else circuit
        else:
            assert (circuit.state is State.CLOSED) == (circuit.cause is None)
