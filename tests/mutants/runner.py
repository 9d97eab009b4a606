"""Runs the tests that have to notice a mutant, in a copy of the project without the rule."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from outbox_worker.demo.postgres import cluster
from tests.mutants.mutant import Mutant, MutantDoesNotApplyError, mutate
from tests.mutants.witness import Failure, Testimony, read

ROOT = Path(__file__).parents[2]
#: Longest time of the tests of one mutant, and of all tests on the unchanged copy.
_PATIENCE_S, _PATIENCE_FOR_ALL_S = 90, 600
#: Many a mutant is noticed by something that never happens: waiting longer would prove no more.
_PATIENCE_FOR_ONE_WAIT_S = "10"


#: What would lead to other code than the copy's, or keep its compiled code from being inherited.
_NOT_TOLD = frozenset({"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"})


class Verdict(StrEnum):
    """What became of a mutant; only `KILLED` is good."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    CRASHED = "CRASHED"
    HUNG = "HUNG"
    DOES_NOT_APPLY = "DOES NOT APPLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one mutant.

    Args:
        failure: The assertion that noticed it, or what else happened; None: nothing failed.
        detail: What else there is to say, such as the last line of a run that broke off.
    """

    mutant: Mutant
    verdict: Verdict
    failure: Failure | None = None
    detail: str = ""


class UnchangedCopyFailsError(Exception):
    """The tests do not even pass without any mutant: nothing can be learned from them."""


@contextlib.contextmanager
def server(environ: Mapping[str, str]) -> Iterator[str]:
    """URL of the Postgres that all runs share: TEST_DATABASE_URL or one of our own."""
    if given := environ.get("TEST_DATABASE_URL"):
        yield given
    else:
        with cluster(settings={"autovacuum": "off"}) as running:
            yield running.url


class Laboratory:
    """A folder of copies of the project, and a Postgres that their tests share.

    Args:
        folder: For the copies; whoever made it removes it.
        database_url: A server's maintenance database, as a role that may create databases.
    """

    def __init__(self, folder: Path, *, database_url: str) -> None:
        self._folder = folder
        self._base = folder / "base"
        self._url = database_url
        self._running: set[subprocess.Popen[str]] = set()

    def prepare(self, tests: Sequence[str], *, jobs: int) -> int:
        """Copy the work tree and see that all these tests pass there.

        The run also compiles every module, which the mutants' copies inherit.

        Returns:
            How many tests passed.

        Raises:
            UnchangedCopyFailsError: One failed, or they ran out of time.
        """
        for name in _files(ROOT):
            target = self._base / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        spread = ["-n", str(jobs), "--dist", "worksteal", "-p", "xdist"] if jobs > 1 else []
        done = self._pytest(self._base, [*spread, *tests], patience_s=_PATIENCE_FOR_ALL_S)
        if done is None:
            raise UnchangedCopyFailsError("the tests of the unchanged copy ran out of time")
        if done.returncode:
            raise UnchangedCopyFailsError(done.stdout[-6000:])
        return len(tests)

    def judge(self, mutant: Mutant) -> Outcome:
        """Take one rule out of a copy of its own and run the tests that have to notice."""
        with TemporaryDirectory(dir=self._folder) as name:
            copy = Path(name) / "project"
            # links: a copy shares every file but the mutated one, compiled code included
            shutil.copytree(self._base, copy, symlinks=True, copy_function=os.link)
            try:
                mutate(copy, mutant)
            except MutantDoesNotApplyError as error:
                return Outcome(mutant=mutant, verdict=Verdict.DOES_NOT_APPLY, detail=str(error))
            report = Path(name) / "witness.json"
            lean = ["-p", "no:hypothesispytest", "-p", "no:xdist"]  # half a second of imports
            told = ["-p", "tests.mutants.witness", f"--witness={report}"]
            done = self._pytest(
                copy,
                [*lean, *told, *mutant.seen_by],
                patience_s=_PATIENCE_S,
                OUTBOX_TEST_PATIENCE=_PATIENCE_FOR_ONE_WAIT_S,
            )
            if done is None:
                return Outcome(mutant=mutant, verdict=Verdict.HUNG)
            if not report.is_file():
                tail = "\n".join(done.stdout.strip().splitlines()[-8:])
                return Outcome(mutant=mutant, verdict=Verdict.CRASHED, detail=tail)
            return _outcome(mutant, read(report), copy)

    def close(self) -> None:
        """End the runs that are under way in other threads."""
        for process in list(self._running):
            _end(process)

    def _pytest(
        self, copy: Path, arguments: Sequence[str], *, patience_s: float, **environ: str
    ) -> subprocess.CompletedProcess[str] | None:
        """Run pytest in a copy, whose packages it and its processes import: cwd comes first."""
        told = {name: value for name, value in os.environ.items() if name not in _NOT_TOLD}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
        with subprocess.Popen(
            [*command, f"--basetemp={copy.parent / f'{copy.name}-tmp'}", *arguments],
            cwd=copy,
            env={**told, "TEST_DATABASE_URL": self._url, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that the processes of its tests can be ended with it
        ) as process:
            self._running.add(process)
            try:
                stdout, _ = process.communicate(timeout=patience_s)
            except subprocess.TimeoutExpired:
                return None
            finally:
                self._running.discard(process)
                if process.poll() is None:
                    _end(process)
        return subprocess.CompletedProcess(command, process.returncode, stdout)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a run and the processes of its tests, which have its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _files(root: Path) -> list[str]:
    """What belongs to the project: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - whichever git there is
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(
        name for name in set(listed.stdout.split("\0")) if name and (root / name).is_file()
    )


def _outcome(mutant: Mutant, told: Testimony, copy: Path) -> Outcome:
    if Path(told.package).parent != copy:
        detail = f"the tests ran against {told.package}"
        return Outcome(mutant=mutant, verdict=Verdict.CRASHED, detail=detail)
    if not told.failures:
        return Outcome(mutant=mutant, verdict=Verdict.SURVIVED, detail=f"{told.passed} passed")
    for failure in told.failures:
        if failure.asserted:
            return Outcome(mutant=mutant, verdict=Verdict.KILLED, failure=failure)
    return Outcome(mutant=mutant, verdict=Verdict.CRASHED, failure=told.failures[0])
