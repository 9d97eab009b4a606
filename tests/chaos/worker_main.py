"""``outbox worker run`` with crash points: `python -m tests.chaos.worker_main`."""

from __future__ import annotations

import os
import sys

from outbox_worker.wiring import run_worker
from tests.chaos import seams
from tests.chaos.points import Fuse

if __name__ == "__main__":
    seams.of_worker(Fuse(os.environ))
    sys.exit(run_worker(os.environ, drain=False))
