"""A run as people and programs read it: conditions, table, JSON, picture."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from outbox_worker.demo.postgres_binaries import find_binaries
from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options

_FOUR_DIGITS = 1000


def conditions(began: datetime, arguments: Sequence[str], options: Options) -> dict[str, str]:
    """Under which a run's figures hold."""
    version = _printed([str(find_binaries().folder / "postgres"), "--version"])
    dirty = " and changes" if _printed(["git", "status", "--porcelain"]) else ""
    return {
        "date": began.isoformat(timespec="seconds"),
        "commit": (_printed(["git", "rev-parse", "--short", "HEAD"]) or "unknown") + dirty,
        "command": " ".join(["python -m tests.benchmarks", *arguments]),
        "machine": f"{os.cpu_count()} cores, {_memory_gib():.0f} GiB, {_processor()},"
        f" {platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.1f} (last minute)",
        "python": platform.python_version(),
        "postgres": f"{version.removeprefix('postgres (PostgreSQL) ')}, fsync and"
        " synchronous_commit on, shared_buffers 512MB unless a figure says otherwise",
        "rounds": f"{options.rounds}, medians" + (", quick: not to be quoted" * options.quick),
    }


def table(figures: Sequence[Figure]) -> list[str]:
    """Name, median, range of the rounds, target, and whether it is met."""
    rows = [("", "median", "min - max", "target", "")]
    rows += [
        (
            each.name,
            f"{_number(each.value)} {each.unit}" if each.rounds else "-",
            f"{_number(min(each.rounds))} - {_number(max(each.rounds))}" if each.rounds else "",
            each.target,
            {True: "met", False: "MISSED", None: ""}[each.met]
            + (f"  ({each.note})" if each.note else ""),
        )
        for each in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                row[1].rjust(widths[1]),
                row[2].rjust(widths[2]),
                row[3].ljust(widths[3]),
                row[4],
            ]
        ).rstrip()
        for row in rows
    ]


def write(
    folder: Path, figures: Sequence[Figure], wrong: Sequence[str], known: Mapping[str, str]
) -> None:
    """``figures.json`` and ``figures.txt``, whole at any time."""
    content = {
        "schema": "benchmarks/1",
        "conditions": dict(known),
        "wrong": list(wrong),
        "figures": [asdict(each) for each in figures],
    }
    (folder / "figures.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    lines = [f"{name}: {value}" for name, value in known.items()]
    lines += ["", *table(figures), "", *(f"WRONG: {each}" for each in wrong)]
    (folder / "figures.txt").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def draw(folder: Path, figures: Sequence[Figure], known: Mapping[str, str]) -> None:
    """``figures.png``, where a drawing library is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        say("No picture: matplotlib is missing. `make bench` installs it.")
        return
    from tests.benchmarks.picture import draw_figures

    draw_figures(folder / "figures.png", figures, known)


def say(*lines: str) -> None:
    """Print, at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _number(value: float) -> str:
    if abs(value) >= _FOUR_DIGITS:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _printed(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return ""
    return done.stdout.strip()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
