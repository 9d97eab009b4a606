"""A command or option that is misspelt: which one was probably meant."""

from __future__ import annotations

import pytest

from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.process import run


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["reque"], "No such command 'reque'. Did you mean 'requeue'?"),
        (["reqeue", "LA-1"], "No such command 'reqeue'. Did you mean 'requeue'?"),
        (["STATUS"], "No such command 'STATUS'. Did you mean 'status'?"),
        (["stat"], "No such command 'stat'. Did you mean 'status' or 'stats'?"),
        (["li"], "No such command 'li'. Did you mean 'list', 'link' or 'listings'?"),
        # five commands begin so: two of them would be a guess
        (["s"], "No such command 's'."),
        (["events", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["alerts", "tset"], "No such command 'tset'. Did you mean 'test'?"),
        (["list", "--sincee"], "No such option '--sincee'. Did you mean '--since'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        ([""], "No such command ''."),
    ],
)
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(
    typed: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(typed, {})

    assert code == ExitCode.USAGE
    said, fix = capsys.readouterr().err.splitlines()
    assert said == f"error: {says}"
    assert fix.endswith(" --help` shows how it is used.")


def test_an_option_before_the_command_is_not_taken_for_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["--jsn", "status"], {}) == ExitCode.USAGE

    assert "No such option '--jsn'" in capsys.readouterr().err
