"""Every rule of the engine with the change that takes it out."""

from __future__ import annotations

from tests.mutants import (
    booking,
    claim,
    clocks,
    gate,
    liveness,
    loop,
    receiver,
    settle,
    token,
    waking,
)
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *claim.MUTANTS,
    *settle.MUTANTS,
    *loop.MUTANTS,
    *waking.MUTANTS,
    *liveness.MUTANTS,
    *booking.MUTANTS,
    *clocks.MUTANTS,
    *gate.MUTANTS,
    *token.MUTANTS,
    *receiver.MUTANTS,
)
