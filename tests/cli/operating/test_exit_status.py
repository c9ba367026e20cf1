"""The exit status of every command."""

from __future__ import annotations

import pytest

from tests.cli.support.shell import Shell


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, ["queue", "ls"]),
        (1, ["task", "run", "run-1"]),
        (1, ["task", "enqueue", "-t", "a", "-i", "wait-1"]),
        (2, ["task", "delete", "--state", "pending", "--all"]),
        (2, ["task", "delete", "--all"]),
        (2, ["task", "delete"]),
        (2, ["task", "delete", "wait-1", "--all"]),
        (2, ["task", "delete", "--state", "pending", "--all", "--type", "a"]),
        (2, ["task", "run", "--state", "pending", "--all", "--yes"]),
        (2, ["task", "ls", "--where", "colour=red"]),
        (2, ["task", "ls", "--older-than", "soon"]),
        (2, ["task", "ls", "--state", "nowhere"]),
        (2, ["task", "enqueue"]),
        (2, ["task", "enqueue", "-t", ""]),
        (2, ["task", "enqueue", "-t", "a", "--timeout", "soon"]),
        (2, ["task", "enqueue", "-t", "a", "--deadline", "soon"]),
        (2, ["task", "enqueue", "-t", "a", "--deadline", "2099-01-01T00:00:00"]),
        (2, ["task", "enqueue", "-t", "a", "-H", "novalue"]),
        (2, ["task", "edit", "wait-1"]),
        (2, ["queue", "ls", "--broker", "nonsense://"]),
        (2, ["queue", "rm", "default", "low", "--force"]),
        (4, ["queue", "inspect", "ghost"]),
        (4, ["queue", "pause", "ghost"]),
        (4, ["queue", "rm", "ghost"]),
        (4, ["task", "ls", "-q", "ghost"]),
        (4, ["task", "inspect", "nobody"]),
        (4, ["task", "delete", "nobody"]),
        (4, ["task", "delete", "wait-1", "--queue", "ghost"]),
        (4, ["group", "ls", "-q", "ghost"]),
        (4, ["server", "inspect", "nobody"]),
        (6, ["task", "delete", "nobody", "wait-1"]),
        (6, ["task", "inspect", "nobody", "wait-1"]),
        (6, ["queue", "pause", "ghost", "low"]),
        (6, ["server", "inspect", "0f1e2d3c", "nobody"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_exit_status(shell: Shell, status: int, words: list[str]) -> None:
    done = shell(*words)
    assert done.status == status, done.err
    assert bool(done.err) is bool(status)


def test_lists_of_an_empty_store(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Shell(url, monkeypatch, capsys)
    for words in (["queue", "ls"], ["task", "ls"], ["group", "ls"], ["server", "ls"]):
        assert empty(*words, "--json").json == []
        assert empty(*words).status == 0
    assert empty("stats", "--json").json["queues"] == []
