"""`python -m tests.chaos`: break everything at any moment; nothing may be lost or doubled.

Exit code 1: a rule was broken, or a rare path was never taken; 2: it could not be run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from outbox_worker.errors import OutboxError
from outbox_worker.pms.port import PmsName
from tests.chaos.calm import BOUND
from tests.chaos.freeze import Thaw, freeze
from tests.chaos.run import Verdict, run
from tests.chaos.tally import COMMON, UNHEARD_OF, Tally, duration, everything, summary

_BOOKINGS_A_SEED = 250
_SECONDS = 30.0


def main() -> int:
    """Play the chosen seeds one after the other and print what happened."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up as after Ctrl-C
    seeds = options.seeds if options.seed is None else range(options.seed, options.seed + 1)
    if options.frozen:
        seeds = range(0)
    total = options.bookings or _BOOKINGS_A_SEED * len(seeds)
    verdicts = []
    for place, seed in enumerate(seeds):
        share = total * (place + 1) // len(seeds) - total * place // len(seeds)
        verdict = asyncio.run(run(seed, options.pms, bookings=share, seconds=options.seconds))
        verdicts.append(verdict)
        _say(*_of_seed(verdict))
    thaws = []
    if options.seed is None:
        for guarded in (True, False):
            thaws.append(asyncio.run(freeze(options.pms, guarded=guarded)))
            _say(f"{'ok' if thaws[-1].as_expected else 'FAILED'}: {thaws[-1]}")
    wanted = everything(options.pms) if len(seeds) > 1 else COMMON if seeds else ()
    return _report(verdicts, thaws, wanted=wanted, file=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--pms",
        choices=[name.value for name in PmsName],
        default=PmsName.GUESTLY.value,
        help="guestly",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--seed", type=int, help="one seed; rare paths need not all be taken")
    chosen.add_argument("--seeds", type=_span, default=range(1, 21), metavar="A-B", help="1-20")
    chosen.add_argument("--frozen", action="store_true", help="only the frozen workers, no seed")
    parser.add_argument("--bookings", type=int, help="of all seeds together; 250 for each")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="of faults, for each seed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")
    options = parser.parse_args()
    options.pms = PmsName(options.pms)
    return options


def _report(
    verdicts: Sequence[Verdict], thaws: Sequence[Thaw], *, wanted: Sequence[str], file: Path | None
) -> int:
    tally = Tally()
    for verdict in verdicts:
        tally.add(verdict.tally)
    failed = [verdict.seed for verdict in verdicts if verdict.violations]
    missing = tally.missing(wanted)
    unheard_of = [name for name in UNHEARD_OF if tally.paths[name]]
    figures: dict[str, Any] = {
        "seeds": [verdict.seed for verdict in verdicts],
        "failed": failed,
        "bookings": sum(verdict.bookings for verdict in verdicts),
        "violations": _by_rule(verdicts),
        "never": missing,
        "unheard_of": unheard_of,
        "frozen": [thaw.figures() for thaw in thaws],
        **summary(tally),
    }
    if verdicts:
        _say("", *_figures(figures))
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if failed:
        _say("", f"FAILED: seeds {', '.join(map(str, failed))}")
    if missing:
        _say(
            "",
            "FAILED: never happened, so nothing is proved about it:",
            *(f"  {name}" for name in missing),
        )
    if unheard_of:
        _say("", "FAILED: this may not happen at all:", *(f"  {name}" for name in unheard_of))
    bad = failed or missing or unheard_of or not all(thaw.as_expected for thaw in thaws)
    return 1 if bad else 0


def _of_seed(verdict: Verdict) -> list[str]:
    word = "FAILED" if verdict.violations else "ok"
    last = f", last {verdict.calm.last[0]}" if verdict.calm.last else ""
    head = (
        f"seed {verdict.seed}: {word}, {verdict.bookings} bookings in {verdict.seconds:.0f} s,"
        f" every event taken {duration(verdict.calm.taken_in)} after the faults,"
        f" nothing owed after {duration(verdict.calm.drained_in)}"
        f" (bound {duration(BOUND)}{last}),"
        f" harness held up {verdict.lag_s:.2f} s at most"
    )
    lines = [head, *(f"  {violation}" for violation in verdict.violations)]
    lines += [line for story in verdict.traces for line in ("", *story.splitlines())]
    if verdict.folder is not None:
        lines += ["", f"  its logs: {verdict.folder}"]
    return lines


def _by_rule(verdicts: Sequence[Verdict]) -> dict[str, int]:
    found: dict[str, int] = {}
    for verdict in verdicts:
        for violation in verdict.violations:
            found[violation.rule] = found.get(violation.rule, 0) + 1
    return found


def _figures(figures: dict[str, Any]) -> list[str]:
    lines = ["Faults"]
    lines += [f"  {count:7}  {name}" for name, count in figures["faults"].items()]
    lines += ["Paths"]
    lines += [f"  {count:7}  {name}" for name, count in figures["paths"].items()]
    for key, what in (
        ("takeover_after_lease", "taken over after the end of a lost lease"),
        ("recovery", "from the first failed, unknown or lost attempt to success"),
        ("drain", "from the end of the faults until nothing was owed"),
    ):
        times = figures[key]
        if times["count"]:
            lines.append(
                f"{what}: p50 {times['p50_s']:.2f} s, p99 {times['p99_s']:.2f} s,"
                f" longest {times['max_s']:.2f} s, of {times['count']}"
            )
    violations = figures["violations"]
    lines.append(
        f"{figures['bookings']} bookings, {len(figures['seeds'])} seeds:"
        f" {violations.get('lost', 0)} lost, {violations.get('doubled', 0)} doubled,"
        f" {violations.get('stale', 0)} stale, {sum(violations.values())} broken rules in all"
    )
    return lines


def _span(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError("write A-B, such as 1-20") from None


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except OutboxError as error:
        # neither Postgres nor a process to be had: nothing was proved, and nothing disproved
        sys.stderr.write(f"chaos: {error}. {error.hint}\n")
        raise SystemExit(2) from None
