"""Rules of time: whose clock is believed."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, at

BOOKING_PY = "outbox_worker/handlers/booking.py"
LEASE_PY = "outbox_worker/worker/lease.py"
RENDER_PY = "outbox_worker/alerts/render.py"
CLOCK = "tests/architecture/test_clock.py"
PROCESS = "tests/acceptance/test_worker_clock.py"

MUTANTS = (
    Mutant(
        rule="a lease is not compared with a clock that somebody can set",
        file=LEASE_PY,
        old="return time.clock_gettime(time.CLOCK_BOOTTIME)",
        new="return time.time()",
        seen_by=at(CLOCK, "test_the_engine_decides_nothing_by_the_clock_of_its_machine"),
    ),
    Mutant(
        rule="the quiet period is measured by the database's clock",
        file=BOOKING_PY,
        old="quiet=self._rules.quiet, now=claim.seen_at)",
        new="quiet=self._rules.quiet, now=__import__('datetime').datetime.now("
        "claim.seen_at.tzinfo))",
        seen_by=at(
            PROCESS,
            "test_the_quiet_period_is_the_databases_and_a_late_effect_is_waited_for[a day ahead]",
        ),
    ),
    Mutant(
        rule="a mail is dated by the database's clock",
        file=RENDER_PY,
        old="written_at=incident.now,",
        new="written_at=__import__('datetime').datetime.now(incident.now.tzinfo),",
        seen_by=at(PROCESS, "test_a_person_is_told_by_the_databases_clock[a day behind]"),
    ),
)
