"""`python -m tests.benchmarks [NAMES…]`: measure, print a table, write JSON and a picture.

Exit code 1: a job was lost or doubled, or an answer was an error. A target that is missed is shown,
and is no error: the machine has its share in it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import inspect
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options

MEASUREMENTS = ("drain", "pickup", "scale", "receiver", "whole_way", "flat", "light")
_PEERS = Path("../shared/bench")


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for; see the module."""
    chosen = _parser().parse_args(arguments)
    began = datetime.now(UTC)
    folder = chosen.results / began.strftime("%Y-%m-%dT%H%M%SZ")
    folder.mkdir(parents=True)
    peers = chosen.peers if (chosen.peers / "bench.py").is_file() else None
    options = Options(
        rounds=1 if chosen.quick else chosen.rounds,
        quick=chosen.quick,
        folder=folder,
        peers=peers.resolve() if peers else None,
        work=chosen.work,
    )
    conditions = report.conditions(began, arguments, options)
    report.say(*(f"{name}: {value}" for name, value in conditions.items()), "")
    if peers is None:
        report.say(f"No peers in {chosen.peers}: ours alone.", "")
    figures: list[Figure] = []
    wrong: list[str] = []
    for name in chosen.names or MEASUREMENTS:
        report.say(f"measuring {name} …")
        try:
            found = _measure(name, options)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
            report.say(f"WRONG: {wrong[-1]}")
            continue
        figures += found
        report.say(*report.table(found), "")
        # written after each: what comes later may take long
        report.write(folder, figures, wrong, conditions)
    report.write(folder, figures, wrong, conditions)
    report.draw(folder, figures, conditions)
    missed = [figure.name for figure in figures if figure.met is False]
    report.say(
        f"{len(figures)} figures, {len(missed)} targets missed",
        *(f"  {name}" for name in missed),
        f"written to {folder}",
        *(f"WRONG: {each}" for each in wrong),
    )
    return 1 if wrong else 0


def _measure(name: str, options: Options) -> list[Figure]:
    module = f"tests.benchmarks.{name}"
    if importlib.util.find_spec(module) is None:
        raise AssertionError(f"there is no {module}")
    measured = importlib.import_module(module).measure(options)
    found = asyncio.run(_awaited(measured)) if inspect.isawaitable(measured) else measured
    assert isinstance(found, list)
    return found


async def _awaited(measured: object) -> object:
    assert inspect.isawaitable(measured)
    return await measured


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; none: all"
    )
    parser.add_argument("--rounds", type=int, default=3, help="medians are of so many")
    parser.add_argument("--quick", action="store_true", help="one short round, not to be quoted")
    parser.add_argument(
        "--results", type=Path, default=Path("bench-results"), help="a folder for each run's folder"
    )
    parser.add_argument(
        "--peers", type=Path, default=_PEERS, help="folder of the peers' drivers (bench.py)"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(os.environ.get("BENCH_WORK") or Path(tempfile.gettempdir()) / "queue-bench"),
        help="folder in which the peers are installed (BENCH_WORK)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
