"""A stand-in for the PMS over real HTTP, for rehearsals, demonstrations and tests.

It speaks the Guestly contract or, with a `GuestySetup`, the Guesty Open API.

server      one process: socket, signals
app         guestly or guesty (the PMS's API) · control (/_simulator) · page (/)
front       a request's way through either API
guesty_*    what Guesty has of its own: account (tokens, windows, switches), control ·
            book (rules), body and fields (what is sent), search (what is shown), state
strike      a fault made real            transport   what ASGI cannot say
plan        which faults strike          fault       what a rule means (pure)
stand_in    ledger + journal + plan + traffic
ledger      what is held (pure)          reservation one reservation (pure)
journal     the state directory          traffic     requests and counters
"""

from __future__ import annotations

from outbox_worker.simulator.guesty_switches import GuestySetup, guesty_setup
from outbox_worker.simulator.listings import listings_from
from outbox_worker.simulator.server import serve

__all__ = ["GuestySetup", "guesty_setup", "listings_from", "serve"]
