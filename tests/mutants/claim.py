"""Claim, fence, owner, lease: rules of the statements that take rows and keep them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

SQL = "outbox_worker/sql/outbox.sql"
CLAIM = "tests/integration/test_engine_claim.py"
RULES = "tests/integration/test_engine_rules.py"
LOOP_RULES = "tests/integration/test_engine_rules_loop.py"
LOCK_ORDER = "tests/architecture/test_lock_order.py"
REQUEST_SQL = "migrations/0009.create-request-functions.sql"
REQUEST = "tests/migration/test_request.py"

_NEW_ROUND = (
    "attempts     = case when d.owner is null and d.attempts >= (select w.max_attempts"
    " from want w where w.destination = d.destination)\n"
)

MUTANTS = (
    Mutant(
        rule="a claim skips rows that somebody locks",
        file=SQL,
        old="    for no key update skip locked) x),\n",
        new="    for no key update) x),\n",
        seen_by=at(RULES, "test_a_claim_passes_by_a_row_that_somebody_locks[claim]"),
    ),
    Mutant(
        rule="a claim of one row skips it when somebody locks it",
        file=SQL,
        old="  for no key update of d skip locked),\nlost as",
        new="  for no key update of d),\nlost as",
        seen_by=at(RULES, "test_a_claim_passes_by_a_row_that_somebody_locks[claim one]"),
    ),
    Mutant(
        rule="a claim locks no stronger than it must",
        file=SQL,
        old="    for no key update skip locked) x),\n",
        new="    for update skip locked) x),\n",
        seen_by=at(LOCK_ORDER, "test_no_statement_locks_stronger_than_it_must"),
    ),
    Mutant(
        rule="a live lease is not claimed",
        file=SQL,
        old="d.due_at <= now() and (d.owner is null or d.lease_until <= now())\n    order by",
        new="d.due_at <= now()\n    order by",
        seen_by=at(CLAIM, "test_a_live_lease_is_not_claimed_again"),
    ),
    Mutant(
        rule="a live lease is not claimed by id",
        file=SQL,
        old="\n    and (d.owner is null or d.lease_until <= now())\n  for no key",
        new="\n  for no key",
        seen_by=at(CLAIM, "test_claim_one_takes_the_named_row_and_no_other"),
    ),
    Mutant(
        rule="a lease that is over is claimable again, without a reaper",
        file=SQL,
        old="(d.owner is null or d.lease_until <= now())\n    order by",
        new="d.owner is null\n    order by",
        seen_by=at(
            RULES, "test_a_lease_that_is_over_can_be_claimed_and_the_lost_attempt_is_on_record"
        ),
    ),
    Mutant(
        rule="only due rows are claimed",
        file=SQL,
        old="d.destination = w.destination and d.due_at <= now() and",
        new="d.destination = w.destination and d.due_at is not null and",
        seen_by=at(CLAIM, "test_a_row_that_is_not_due_yet_waits"),
    ),
    Mutant(
        rule="what became due first is claimed first",
        file=SQL,
        old="    order by d.due_at\n    limit w.n\n",
        new="    order by d.id\n    limit w.n\n",
        seen_by=at(CLAIM, "test_the_oldest_due_rows_come_first_and_no_more_than_asked_for"),
    ),
    Mutant(
        rule="a claim takes no more of a destination than it has free slots for",
        file=SQL,
        old="    limit w.n\n",
        new="",
        seen_by=at(CLAIM, "test_each_destination_has_its_own_limit_in_one_statement"),
    ),
    Mutant(
        rule="the claim keeps its index under generic plans",
        file=SQL,
        old="where d.id = any (array(select id from c))\n  returning",
        new="from c where d.id = c.id\n  returning",
        seen_by=at(CLAIM, "test_the_claim_uses_its_index_whatever_the_statistics_say"),
    ),
    Mutant(
        rule="an attempt is charged at claim",
        file=SQL,
        old="                      then 1 else d.attempts + 1 end,\n",
        new="                      then 1 else d.attempts end,\n",
        seen_by=at(CLAIM, "test_a_claim_takes_owner_lease_fence_and_charges_one_attempt"),
    ),
    Mutant(
        rule="a fence comes from a sequence, never from the number of attempts",
        file=SQL,
        old="  fence        = nextval('outbox.fence_seq'),\n",
        new="  fence        = d.attempts + 1,\n",
        nth=(1, 2),
        seen_by=at(
            RULES, "test_a_fence_is_never_used_twice_and_an_older_one_settles_nothing[done]"
        ),
    ),
    Mutant(
        rule="an attempt whose owner never settled is recorded as lost",
        file=SQL,
        old="'lost', 'worker_lost' from c where owner is not null),\n",
        new="'lost', 'worker_lost' from c where false),\n",
        seen_by=at(
            RULES, "test_a_lease_that_is_over_can_be_claimed_and_the_lost_attempt_is_on_record"
        ),
    ),
    Mutant(
        rule="who was lost is read from the locked row",
        file=SQL,
        old="'lost', 'worker_lost' from c where owner is not null),\n",
        new="'lost', 'worker_lost' from outbox.delivery where owner is not null"
        " and id in (select id from c)),\n",
        seen_by=at(RULES, "test_an_owner_who_settles_just_before_the_claim_was_not_lost"),
    ),
    Mutant(
        rule="the version of a claim is that of the locked row",
        file=SQL,
        old="d.requested as version",
        new="(select o.requested from outbox.delivery o where o.id = d.id) as version",
        nth=(1, 2),
        seen_by=at(RULES, "test_a_claim_takes_the_version_that_was_asked_for_just_before_it"),
    ),
    Mutant(
        rule="a lost owner makes the row uncertain",
        file=SQL,
        old="case when d.owner is null then d.uncertain_at"
        " else greatest(d.uncertain_at, d.lease_until) end",
        new="d.uncertain_at",
        nth=(1, 2),
        seen_by=at(CLAIM, "test_an_expired_lease_is_claimed_by_another_worker"),
    ),
    Mutant(
        rule="a lost owner never moves uncertainty back",
        file=SQL,
        old="greatest(d.uncertain_at, d.lease_until)",
        new="d.lease_until",
        nth=(1, 2),
        seen_by=at(CLAIM, "test_uncertainty_is_never_moved_back_by_a_lost_owner"),
    ),
    Mutant(
        rule="a redrive begins a new round",
        file=SQL,
        old=_NEW_ROUND,
        new=_NEW_ROUND.replace("d.owner is null", "false"),
        seen_by=at(CLAIM, "test_a_redrive_begins_a_new_round_with_its_first_attempt"),
    ),
    Mutant(
        rule="a row lost on its last attempt is claimed over the limit, not as a new round",
        file=SQL,
        old=_NEW_ROUND,
        new=_NEW_ROUND.replace("d.owner is null and ", ""),
        seen_by=at(CLAIM, "test_a_row_lost_on_its_last_attempt_is_claimed_over_the_limit"),
    ),
    Mutant(
        rule="an extension compares the fence",
        file=SQL,
        old="d.fence = s.fence and d.owner = %(owner)s and d.lease_until > now()\n",
        new="d.owner = %(owner)s and d.lease_until > now()\n",
        seen_by=at(CLAIM, "test_extend_with_an_older_fence_is_refused"),
    ),
    Mutant(
        rule="an extension renews a claim by its fence, not whatever claim the row has now",
        file="outbox_worker/worker/loop.py",
        old="if item.claim.fence in extended.renewed:",
        new="if extended.renewed:",
        seen_by=at(LOOP_RULES, "test_a_call_may_not_begin_on_a_row_that_was_taken_over[itself]"),
    ),
    Mutant(
        rule="an extension compares the owner",
        file=SQL,
        old=" and d.owner = %(owner)s and d.lease_until > now()\n",
        new=" and d.lease_until > now()\n",
        seen_by=at(CLAIM, "test_extend_renews_only_what_is_still_ours"),
    ),
    Mutant(
        rule="a lease that is over is not extended",
        file=SQL,
        old=" and d.owner = %(owner)s and d.lease_until > now()\n",
        new=" and d.owner = %(owner)s\n",
        seen_by=at(CLAIM, "test_extend_renews_only_what_is_still_ours"),
    ),
    Mutant(
        rule="an extension waits for nobody's lock",
        file=SQL,
        old="order by d.id for no key update skip locked),\nu as",
        new="order by d.id for no key update),\nu as",
        seen_by=at(
            LOOP_RULES,
            "test_a_row_that_somebody_locks_does_not_keep_other_leases_from_being_renewed",
        ),
    ),
    Mutant(
        rule="a new request keeps the place of a row that waits",
        file=REQUEST_SQL,
        old="when d.discarded_at is null and (d.due_at is null or d.failed_at is not null)"
        " then now() else d.due_at end",
        new="when d.discarded_at is null then now() else d.due_at end",
        seen_by=at(REQUEST, "test_a_waiting_row_keeps_its_place_and_its_attempts"),
    ),
    Mutant(
        rule="a new request begins a new round on a row that was given up",
        file=REQUEST_SQL,
        old="and (d.due_at is null or d.failed_at is not null) then 0 else d.attempts end",
        new="and d.due_at is null and d.failed_at is null then 0 else d.attempts end",
        seen_by=at(REQUEST, "test_on_a_failed_row_it_begins_a_round_due_now"),
    ),
    Mutant(
        rule="a new request is only recorded on a discarded row",
        file=REQUEST_SQL,
        old="round        = d.round + case when d.discarded_at is null and",
        new="round        = d.round + case when",
        seen_by=at(REQUEST, "test_on_a_discarded_row_it_is_recorded_only"),
    ),
    Mutant(
        rule="a new request never clears uncertainty",
        file=REQUEST_SQL,
        old="      failed_at    = null\n",
        new="      failed_at    = null, uncertain_at = null\n",
        seen_by=at(REQUEST, "test_an_uncertain_row_stays_uncertain"),
    ),
)
