"""`asynqio queue pause`, `resume` and `rm`."""

from __future__ import annotations

from tests.cli.support.shell import NOW, Shell


def test_pause_and_resume_a_type(shell: Shell) -> None:
    words = ["default", "--type", "report", "--json"]
    assert shell("queue", "pause", *words).json == [{"queue": "default", "done": True, "outcome": "paused"}]
    assert shell("queue", "inspect", "default", "--json").json[0]["paused_types"] == {"report": NOW}
    assert shell("queue", "resume", *words).json[0]["outcome"] == "resumed"
    assert shell("queue", "resume", *words).json[0]["outcome"] == "unchanged"


def test_pause_resume_and_remove_a_queue(shell: Shell) -> None:
    assert shell("queue", "pause", "default", "--json").json == [
        {"queue": "default", "done": True, "outcome": "paused"}
    ]
    assert shell("queue", "unpause", "default", "low", "--json").json[1]["outcome"] == "resumed"
    done = shell("queue", "rm", "low", "--json")
    assert (done.status, done.json[0]["outcome"]) == (1, "wrong_state")
    assert shell("queue", "rm", "low", "--force").status == 2
    done = shell("queue", "delete", "low", "--force", "--yes", "--json")
    assert (done.status, done.json) == (0, [{"queue": "low", "done": True, "outcome": "removed"}])
    assert len(shell("queue", "ls", "--json").json) == 1
