"""``webhook-receiver`` with crash points: `python -m tests.chaos.receiver_main`."""

from __future__ import annotations

import os
import sys

from tests.chaos import seams
from tests.chaos.points import Fuse
from webhook_receiver.__main__ import run

if __name__ == "__main__":
    seams.of_receiver(Fuse(os.environ))
    sys.exit(run(os.environ))
