"""The operators' commands: parse, call one function, print."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Console script ``outbox``: run one command and exit with its code (see `exits.ExitCode`)."""
    from outbox_worker.cli.process import run

    sys.exit(run(sys.argv[1:], os.environ))
