"""One booking from its insertion to its last change."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from tests.chaos.nemesis import Nemesis
from tests.chaos.scenario import Plot
from tests.chaos.site import Site
from tests.chaos.stripe import Stripe, rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What the outside world does with one booking; it ends when all of it is done.

    Args:
        began: Start of the run on the monotonic clock.
    """

    plot: Plot
    site: Site
    stripe: Stripe
    nemesis: Nemesis
    began: float

    async def run(self) -> None:
        """Insert, pay and change it, side by side.

        Raises:
            RefusedError: The receiver refused an event.
        """
        await asyncio.sleep(max(0.0, self.began + self.plot.begins - time.monotonic()))
        if self.plot.refused:
            await self.nemesis.refuse_once(self.plot.reference)
        if not self.plot.inserted_after:
            await self.site.insert(self.plot)
        async with asyncio.TaskGroup() as group:
            if self.plot.inserted_after:
                group.create_task(self._insert_late())
            for place in range(len(self.plot.webhooks)):
                group.create_task(self._pay(place))
            if self.plot.edits:
                group.create_task(self._change())

    async def _insert_late(self) -> None:
        await asyncio.sleep(self.plot.inserted_after)
        await self.site.insert(self.plot)

    async def _pay(self, place: int) -> None:
        await asyncio.sleep(self.plot.webhooks[place].after)
        await self.stripe.deliver(self.plot, self.plot.webhooks[place])

    async def _change(self) -> None:
        if self.plot.confirmed_first:
            await self.site.confirmed(self.plot)
        for edit in self.plot.edits:
            await rest(edit.after, self.stripe.calm)
            await self.site.edit(self.plot, edit)
