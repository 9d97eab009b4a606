"""`python -m tests.mutants [WORDS…]`: take the rules out one by one and see a test fail.

Exit code 1: a mutant survived, was noticed by nothing but a crash, or does not apply any more.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.page import page
from tests.mutants.runner import Laboratory, Outcome, UnchangedCopyFailsError, Verdict, server


def main() -> int:
    """Judge the chosen mutants and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only rules that contain one of these")
    # one more than cores, as many mutants are noticed by something that never happens
    cores = os.cpu_count() or 2
    parser.add_argument("--jobs", type=int, default=cores + 1, help="runs at once")
    parser.add_argument("--list", action="store_true", help="print the rules and stop")
    parser.add_argument("--page", action="store_true", help="print docs/reference/rules.md")
    chosen = parser.parse_args()
    if chosen.page:
        sys.stdout.write(page(MUTANTS))
        return 0
    mutants = _chosen(chosen.words)
    if not mutants or chosen.list:
        _say(*(mutant.rule for mutant in mutants) if mutants else ["no rule contains these words"])
        return 0 if mutants else 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up as after Ctrl-C
    began = time.monotonic()
    try:
        outcomes = _judge(mutants, jobs=max(1, chosen.jobs))
    except UnchangedCopyFailsError as error:
        _say("Without any mutant the tests already fail:", str(error))
        return 1
    bad = [outcome for outcome in outcomes if outcome.verdict is not Verdict.KILLED]
    _say(
        "",
        f"{len(outcomes)} rules taken out, {len(outcomes) - len(bad)} noticed,"
        f" {len(bad)} not, in {time.monotonic() - began:.0f} s",
        *(f"  {outcome.verdict}: {outcome.mutant.rule}" for outcome in bad),
    )
    return 1 if bad else 0


def _chosen(words: Sequence[str]) -> list[Mutant]:
    return [
        mutant
        for mutant in MUTANTS
        if not words or any(word.casefold() in mutant.rule.casefold() for word in words)
    ]


def _judge(mutants: Sequence[Mutant], *, jobs: int) -> list[Outcome]:
    """What became of each, in the order of the catalogue; printed as soon as it is known."""
    tests = sorted({test for mutant in mutants for test in mutant.seen_by})
    with (
        TemporaryDirectory(prefix="booking-outbox-mutants-") as folder,
        server(os.environ) as url,
        ThreadPoolExecutor(max_workers=jobs) as pool,
    ):
        laboratory = Laboratory(Path(folder).resolve(), database_url=url)
        try:
            _say(f"{laboratory.prepare(tests, jobs=jobs)} tests pass with every rule in place", "")
            running = [pool.submit(laboratory.judge, mutant) for mutant in mutants]
            for done in as_completed(running):
                _say(*_lines(done.result()))
            return [each.result() for each in running]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            laboratory.close()
            raise


def _lines(outcome: Outcome) -> list[str]:
    lines = [f"{outcome.verdict:<9} {outcome.mutant.rule}"]
    if outcome.failure is not None:
        failure = outcome.failure
        lines += [f"          {failure.test} (line {failure.line})", f"          {failure.reason}"]
    return lines + [f"          {line}" for line in outcome.detail.splitlines()]


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
