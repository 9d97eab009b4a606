"""Rules of what hangs, dies or says nothing."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

DATABASE_PY = "outbox_worker/database.py"
LIVENESS_PY = "outbox_worker/worker/liveness.py"
SUPERVISOR_PY = "outbox_worker/worker/supervisor.py"
WAKEUP_PY = "outbox_worker/worker/wakeup.py"
WIRING_PY = "outbox_worker/wiring.py"
BOUNDS = "tests/integration/test_database_bounds.py"
PROCESS = "tests/acceptance/test_worker_liveness.py"
HEALTH = "tests/acceptance/test_worker_health.py"
LIVENESS = "tests/unit/test_liveness.py"

INBOX = "tests/integration/test_inbox_silence.py"
INBOX_PY = "outbox_worker/handlers/inbox.py"

MUTANTS = (
    Mutant(
        rule="a re-drive whose connection falls silent gives its slot back",
        file=INBOX_PY,
        old="await bounded(self._redrive(claim.key), within=self._timeout)",
        new="await self._redrive(claim.key)",
        seen_by=at(INBOX, "test_a_redrive_over_a_silent_network_is_a_failed_attempt"),
    ),
    Mutant(
        rule="a statement that is never answered does not hold the loop up",
        file=SUPERVISOR_PY,
        old="timeout=self._patience.total_seconds(),",
        new="timeout=None,",
        seen_by=at(PROCESS, "test_half_open_connections_are_noticed_and_replaced"),
    ),
    Mutant(
        rule="who waits for a silent network is cancelled twice",
        file=DATABASE_PY,
        old="await asyncio.wait({task}, timeout=_OBEYS_WITHIN_S)",
        new="await asyncio.wait({task})",
        seen_by=at(BOUNDS, "test_a_statement_over_a_silent_network_is_given_up_in_time"),
    ),
    Mutant(
        rule="a loop that raises ends the process as failed",
        file=WIRING_PY,
        old="        return 1\n",
        new="        return 0\n",
        seen_by=at(PROCESS, "test_a_loop_that_raises_ends_the_process_which_says_so"),
    ),
    Mutant(
        rule="a listener that raises is begun anew",
        file=WAKEUP_PY,
        old="            except Exception as error:",
        new="            except NotImplementedError as error:",
        seen_by=at(PROCESS, "test_a_listener_that_raises_says_so_and_is_begun_anew"),
    ),
    Mutant(
        rule="a loop that hangs is not alive",
        file=LIVENESS_PY,
        old="return self._clock() - self._seen_at <= self._limit",
        new="return True",
        seen_by=at(HEALTH, "test_a_loop_that_hangs_is_unhealthy_and_says_since_when"),
    ),
    Mutant(
        rule="waiting for Postgres is a sign of life",
        file=LIVENESS_PY,
        old="        self._seen_at = self._clock()\n        self.misses += 1\n",
        new="        self.misses += 1\n",
        seen_by=at(LIVENESS, "test_failing_to_reach_postgres_is_a_sign_of_life_but_no_cycle"),
    ),
    Mutant(
        rule="a worker that polls seldom gives signs of life often",
        file=SUPERVISOR_PY,
        old="asyncio.timeout(BEAT_EVERY.total_seconds())",
        new="asyncio.timeout(None)",
        seen_by=at(
            HEALTH, "test_a_worker_that_polls_once_an_hour_gives_signs_of_life_all_the_same"
        ),
    ),
)
