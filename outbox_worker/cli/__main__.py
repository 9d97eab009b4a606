"""``python -m outbox_worker.cli``: the same as the console script ``outbox``."""

from __future__ import annotations

from outbox_worker.cli import main

main()
