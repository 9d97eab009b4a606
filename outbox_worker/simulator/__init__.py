"""A stand-in for the Guestly PMS over real HTTP, for rehearsals, demonstrations and tests.

server      one process: socket, signals
app         guestly (the PMS's API) · control (/_simulator) · page (/)
strike      a fault made real            transport   what ASGI cannot say
plan        which faults strike          fault       what a rule means (pure)
stand_in    ledger + journal + plan + traffic
ledger      what is held (pure)          reservation one reservation (pure)
journal     the state directory          traffic     requests and counters
"""

from __future__ import annotations

from outbox_worker.simulator.listings import listings_from
from outbox_worker.simulator.server import serve

__all__ = ["listings_from", "serve"]
