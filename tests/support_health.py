"""A worker's endpoint as whoever watches it sees it."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support_engine import eventually
from tests.support_worker import WorkerProcess

#: Any free port; the worker says which one in its log.
ANY_PORT = "127.0.0.1:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a worker serves health and metrics."""

    url: str

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10) as client:
            return await client.get(path)

    async def status(self, path: str) -> int:
        return (await self.get(path)).status_code

    async def becomes(self, path: str, status: int, *, within: float = 20.0) -> str:
        """Wait for a status; the answer's text."""
        seen = ""

        async def there() -> bool:
            nonlocal seen
            answer = await self.get(path)
            seen = answer.text
            return answer.status_code == status

        await eventually(there, f"{path} {status}", within=within)
        return seen

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """Values by name and label values."""
        text = (await self.get("/metrics")).text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


async def endpoint_of(process: WorkerProcess) -> Endpoint:
    """The endpoint of a worker that was given `ANY_PORT`."""
    served = await process.logged("health.served")
    return Endpoint(url=f"http://{served['address']}")
