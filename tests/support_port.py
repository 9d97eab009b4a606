"""Ports that are chosen now and bound later, perhaps seconds later and by another process."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from pathlib import Path

_FIRST = 10_000


def kept_port() -> int:
    """A loopback port that nobody is given meanwhile: the system hands out higher ones only."""
    return kept_ports(1)[0]


def kept_ports(count: int) -> tuple[int, ...]:
    """Several of them, of which no two are the same."""
    found: list[int] = []
    with contextlib.ExitStack() as kept:
        # each is held until all are chosen: what was let go of could be chosen once more
        for port in random.sample(_ours(), k=50 * count):
            if len(found) == count:
                break
            with contextlib.suppress(OSError), contextlib.ExitStack() as tried:
                probe = tried.enter_context(socket.socket())
                probe.bind(("127.0.0.1", port))
                kept.push(tried.pop_all())
                found.append(port)
    assert len(found) == count, "too few ports are free below those that the system hands out"
    return tuple(found)


def _ours() -> range:
    """Those of this process: with xdist each worker, and what it starts, has a share of its own."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    handed_out = int(given.read_text(encoding="ascii").split()[0]) if given.exists() else 32_768
    shares = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ours = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return range(_FIRST + ours, max(_FIRST + 200 * shares, handed_out), shares)
