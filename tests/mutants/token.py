"""The fleet's access token: one requests it, all are counted, the newest is kept."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

TOKEN_SQL = "outbox_worker/sql/token.sql"
GATE_SQL = "outbox_worker/sql/gate.sql"
STORE_PY = "outbox_worker/gate/token.py"
SOURCE_PY = "outbox_worker/pms/guesty_token_source.py"
RULES_PY = "outbox_worker/pms/guesty_token.py"
RESULTS_PY = "outbox_worker/handlers/results.py"
CIRCUIT_PY = "outbox_worker/gate/circuit.py"
SINGLE_PY = "outbox_worker/worker/single.py"
FLEET = "tests/integration/test_fleet_token.py"
REFUSED = "tests/integration/test_fleet_token_refused.py"
RESUMED = "tests/integration/test_fleet_token_resumed.py"
LOSS = "tests/integration/test_fleet_token_loss.py"
SHUT = "tests/integration/test_gate_no_token.py"
WITHOUT = "tests/acceptance/test_guesty_without_token.py"

MUTANTS = (
    Mutant(
        rule="one worker requests the token",
        file=STORE_PY,
        old='return row is not None and bool(row["locked"])',
        new="return True",
        seen_by=at(LOSS, "test_nobody_waits_for_somebody_elses_request_longer_than_for_a_call"),
    ),
    Mutant(
        rule="a token is requested by nobody who has not read the last request",
        file=TOKEN_SQL,
        old="\n  and g.auth_requests[cardinality(g.auth_requests)] is not distinct from"
        " %(last)s::timestamptz",
        new=" and (true or %(last)s::timestamptz is null)",
        seen_by=at(LOSS, "test_a_worker_that_was_held_up_before_it_counts_requests_nothing"),
    ),
    Mutant(
        rule="a worker that is frozen loses the token's lock",
        file=TOKEN_SQL,
        old="set_config('idle_in_transaction_session_timeout', %(idle)s::text, true)",
        new="set_config('application_name', %(idle)s::text, true)",
        seen_by=at(
            LOSS,
            "test_a_frozen_worker_loses_the_lock_and_replaces_no_newer_token_when_it_thaws",
        ),
    ),
    Mutant(
        rule="a request is counted before it leaves",
        file=TOKEN_SQL,
        old="order by r.n) || now(),",
        new="order by r.n) || '2001-01-01'::timestamptz,",
        seen_by=at(LOSS, "test_a_worker_that_is_killed_during_its_request_is_followed_by_another"),
    ),
    Mutant(
        rule="a late token replaces no newer one",
        file=TOKEN_SQL,
        old="where g.destination = %(destination)s and g.token_serial = %(serial)s::bigint\n"
        "returning g.token_serial",
        new="where g.destination = %(destination)s and %(serial)s::bigint is not null\n"
        "returning g.token_serial",
        seen_by=at(LOSS, "test_a_token_that_comes_late_is_dropped_for_the_newer_one"),
    ),
    Mutant(
        rule="nothing is sent under a lock that was lost",
        file=SOURCE_PY,
        old="            await store.still_locked(conn)\n",
        new="            pass\n",
        seen_by=at(LOSS, "test_a_lock_that_is_lost_before_the_request_leaves_sends_nothing"),
    ),
    Mutant(
        rule="a token that could not be stored is kept",
        file=SOURCE_PY,
        old="            await self._save_late()\n            while True:\n",
        new="            self._unsaved = None\n            while True:\n",
        seen_by=at(LOSS, "test_a_token_that_could_not_be_stored_is_stored_with_the_next_call"),
    ),
    Mutant(
        rule="a caller that is cancelled cancels nobody's request for a token",
        file=SOURCE_PY,
        old="            await asyncio.wait({task}, timeout=left)\n",
        new="            await asyncio.wait_for(task, timeout=left)\n",
        seen_by=at(LOSS, "test_a_caller_that_is_cancelled_takes_nobodys_token_with_it"),
    ),
    Mutant(
        rule="a good token costs no statement",
        file=SOURCE_PY,
        old="            self._read_again = min(again, early) if early > now else again\n",
        new="            self._read_again = 0.0\n",
        seen_by=at(FLEET, "test_a_good_token_costs_no_statement"),
    ),
    Mutant(
        rule="a late refusal of an old token spends none",
        file=RULES_PY,
        old="    if row.serial != token.serial or",
        new="    if",
        seen_by=at(FLEET, "test_a_late_refusal_of_an_old_token_spends_nothing"),
    ),
    Mutant(
        rule="a missing permission spends no token an hour",
        file=RULES_PY,
        old="_YOUNG_FORBIDDEN if row.forbidden else _YOUNG)",
        new="_YOUNG)",
        seen_by=at(
            FLEET,
            "test_a_new_token_that_is_refused_lacks_a_permission_and_spends_nothing",
        ),
    ),
    Mutant(
        rule="an early renewal never spends the last request of the day",
        file=RULES_PY,
        old="    if spent(row, ours) >= QUOTA - 1:\n",
        new="    if spent(row, ours) >= QUOTA:\n",
        seen_by=at(FLEET, "test_an_early_renewal_never_spends_the_last_request"),
    ),
    Mutant(
        rule="the sixth request for a token in a day is refused here",
        file=RULES_PY,
        old="    if spent(row, ours) >= QUOTA:\n",
        new="    if False:\n",
        seen_by=at(
            REFUSED,
            "test_the_sixth_request_in_a_day_is_refused_here_and_says_when_the_next_is_possible",
        ),
    ),
    Mutant(
        rule="refused credentials spend one request in six hours",
        file=RULES_PY,
        old="        return _REFUSED_PAUSE\n",
        new="        return timedelta(0)\n",
        seen_by=at(REFUSED, "test_a_wrong_secret_spends_one_and_every_later_call_says_so"),
    ),
    Mutant(
        rule="an outage of the token endpoint does not take the last request of the day",
        file=RULES_PY,
        old="_LAST_PACE if counted == QUOTA - 1 else pace(in_a_row)",
        new="pace(in_a_row)",
        seen_by=at(
            REFUSED,
            "test_an_outage_of_the_endpoint_is_asked_after_0_1_10_minutes_and_keeps_one_for_later",
        ),
    ),
    Mutant(
        rule="a request for a token that has never left is not counted",
        file=TOKEN_SQL,
        old="auth_requests = case when %(sent)s::boolean then g.auth_requests else"
        " g.auth_requests[:cardinality(g.auth_requests) - 1] end",
        new="auth_requests = case when %(sent)s::boolean then g.auth_requests else"
        " g.auth_requests[2:] || now() end",
        seen_by=at(
            REFUSED,
            "test_a_request_that_has_never_left_is_not_counted_but_waits_like_the_others",
        ),
    ),
    Mutant(
        rule="a person who resumes has refused credentials tried again",
        file=GATE_SQL,
        old="auth_failures = 0, auth_code = null, auth_not_before = null,\n",
        new="",
        seen_by=at(REFUSED, "test_a_person_who_resumes_has_them_tried_again_at_once"),
    ),
    Mutant(
        rule="a person who resumes has a token that lacked a permission replaced",
        file=GATE_SQL,
        old="case when token_forbidden and spare then now() else token_refused_at end",
        new="token_refused_at",
        seen_by=at(REFUSED, "test_a_person_who_resumes_has_a_token_without_a_permission_replaced"),
    ),
    Mutant(
        rule="a person who resumes again and again never spends the last request of the day",
        file=GATE_SQL,
        old="cardinality(d.auth_requests) - 3]",
        new="cardinality(d.auth_requests) - 4]",
        seen_by=at(RESUMED, "test_resuming_again_and_again_never_leads_to_the_last_request"),
    ),
    Mutant(
        rule="a token that was given up is used when the day's requests are spent",
        file=RULES_PY,
        old="    if spent(row, ours) < QUOTA or not _ours(row, ours):\n",
        new="    if True:\n",
        seen_by=at(RESUMED, "test_a_token_that_was_given_up_is_used_when_the_quota_is_spent"),
    ),
    Mutant(
        rule="workers with other credentials do not take turns in replacing the token",
        file=SOURCE_PY,
        old="            return plan if known is None else Plan(token=known)\n",
        new="            return plan\n",
        seen_by=at(FLEET, "test_each_of_two_sets_of_credentials_keeps_its_token"),
    ),
    Mutant(
        rule="whoever could not get a token is charged no attempt",
        file=RESULTS_PY,
        old="        case Unavailable(unasked=True):\n            return _unasked(job, answer)\n",
        new="",
        seen_by=at(
            SHUT, "test_waiting_for_the_token_of_another_worker_costs_nothing_and_shuts_nothing"
        ),
    ),
    Mutant(
        rule="without a token one booking alone shuts the gate, so that a person is told",
        file=CIRCUIT_PY,
        old="            if seen.sure:\n                return _out(CLOSED, seen, now=now)\n",
        new="",
        seen_by=at(SHUT, "test_one_booking_alone_shuts_the_gate_at_once_and_keeps_its_place"),
    ),
    Mutant(
        rule="what waits for a token has no time of its own to wait for",
        file=RESULTS_PY,
        old="        due_in=None,\n        # while the gate is shut",
        new="        due_in=answer.rest,\n        # while the gate is shut",
        seen_by=at(SHUT, "test_one_booking_alone_shuts_the_gate_at_once_and_keeps_its_place"),
    ),
    Mutant(
        rule="probes without a token fill no booking's history",
        file=RESULTS_PY,
        old="record=None if job.claim.probe and answer.outage else AttemptOutcome.WAITING,",
        new="record=AttemptOutcome.WAITING,",
        seen_by=at(SHUT, "test_one_booking_alone_shuts_the_gate_at_once_and_keeps_its_place"),
    ),
    Mutant(
        rule="a long wait for a token is probed once a minute, a short one at its end",
        file=CIRCUIT_PY,
        old="wait = max(NEXT_ROW, min(rest, PROBE_CAP))",
        new="wait = rest",
        seen_by=at(SHUT, "test_no_probe_is_sent_before_a_token_may_be_requested_but_one_a_minute"),
    ),
    Mutant(
        rule="whoever sends one booking by hand is told at once that there is no token",
        file=SINGLE_PY,
        old="return seen.sure or seen.evidence",
        new="return seen.evidence",
        seen_by=at(
            WITHOUT, "test_a_person_who_sends_one_booking_is_told_at_once_and_it_costs_nothing"
        ),
    ),
    Mutant(
        rule="a person who resumes is told how many requests are left",
        file=RULES_PY,
        old="return max(0, QUOTA - spent(row, _last(row)))",
        new="return QUOTA",
        seen_by=at(
            WITHOUT,
            "test_resume_says_that_the_last_request_is_all_that_is_left_and_refuses_nothing",
        ),
    ),
)
