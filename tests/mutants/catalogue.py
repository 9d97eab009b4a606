"""Every rule of the engine with the change that takes it out.

Out of it are the circuit breaker, the shared rate limit and the pause.
"""

from __future__ import annotations

from tests.mutants import booking, claim, loop, receiver, settle, waking
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *claim.MUTANTS,
    *settle.MUTANTS,
    *loop.MUTANTS,
    *waking.MUTANTS,
    *booking.MUTANTS,
    *receiver.MUTANTS,
)
