"""What is read of a worker at the moment when somebody asks how it is."""

from __future__ import annotations

from dataclasses import dataclass

from outbox_worker import __version__
from outbox_worker.metrics import Metrics, Now
from outbox_worker.outbox.delivery import WorkerId
from outbox_worker.worker.liveness import Liveness
from outbox_worker.worker.loop import Loop
from outbox_worker.worker.wakeup import Wakeup


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One worker as its endpoint sees it."""

    worker: WorkerId
    metrics: Metrics
    liveness: Liveness
    wakeup: Wakeup
    loop: Loop

    def exposition(self) -> bytes:
        """Its metrics now, of `metrics.CONTENT_TYPE`."""
        now = Now(
            cycles=self.liveness.cycles,
            database_misses=self.liveness.misses,
            cycle_age=self.liveness.cycle_age,
            alive=self.liveness.alive,
            reaches_database=self.liveness.reaches_database,
            listening=self.wakeup.listening,
            in_flight=self.loop.in_flight,
            worker=self.worker,
            version=__version__,
        )
        return self.metrics.render(now)
