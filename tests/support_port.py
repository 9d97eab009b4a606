"""A port that is chosen now and bound later, perhaps seconds later and by another process."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_FIRST = 10_000


def kept_port() -> int:
    """A loopback port that nobody is given meanwhile: the system hands out higher ones only."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    handed_out = int(given.read_text(encoding="ascii").split()[0]) if given.exists() else 32_768
    for port in random.sample(range(_FIRST, max(_FIRST + 50, handed_out)), k=50):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free below those that the system hands out")
