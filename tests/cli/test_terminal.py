"""What commands print with: for files and scripts here, on a real terminal with real keys below."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.cli.main import _with_seconds
from asynqio.cli.output.format import count, moment, rate, relative, size, span, text_of
from asynqio.cli.output.terminal import Refused, clean, confirm, facts, progress, run, show, table, watching
from tests.builders import entry
from tests.cli.support.command import asynqio
from tests.cli.support.pseudo import screen
from tests.conformance.helpers import put


def test_control_characters_are_shown_escaped() -> None:
    assert clean("ordinary ünï 漢字") == "ordinary ünï 漢字"
    assert clean("\x1b[31mred\x07\r\nnext\t\x9b2J\u202e") == r"\x1b[31mred\x07\r\nnext\t\x9b2J\u202e"
    assert clean("\ud800") == r"\ud800"
    assert clean(None) == ""
    assert clean(7) == "7"


def test_tables_are_cut_nowhere_but_on_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "size"), [("a" * 300, 7), ("[bold]b\n", 1_000)], right=("size",))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "name" + " " * 298 + "size"
    assert second == "a" * 300 + "     7"
    assert third == r"[bold]b\n" + " " * 293 + "1000"
    table(("name",), [])
    assert capsys.readouterr().out == "name\n"


def test_facts_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    facts([("id", "a"), ("last error", "x\ny"), ("none", None)])
    assert capsys.readouterr().out == "id          a\nlast error  x\\ny\nnone\n"


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show({"a": [1, "ü\x1b"]}, lambda: None, as_json=True)
    assert capsys.readouterr().out == '{"a": [1, "\\u00fc\\u001b"]}\n'
    show({}, lambda: print("people"), as_json=False)
    assert capsys.readouterr().out == "people\n"
    with pytest.raises(TypeError):
        show({"a": object()}, lambda: None, as_json=True)


def test_nobody_is_asked_who_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(Refused, match="Sure\\? Say --yes to do it"):
        confirm("Sure?", yes=False)
    confirm("Sure?", yes=True)
    assert capsys.readouterr() == ("", "")


def test_progress_says_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("looking", 10) as told:
        told(5)
    assert capsys.readouterr() == ("", "")


def test_run_gives_the_answer_and_ends_quietly_at_ctrl_c() -> None:
    async def answer() -> int:
        return 7

    async def interrupted() -> None:
        raise KeyboardInterrupt

    assert run(answer()) == 7
    with pytest.raises(SystemExit) as ended:
        run(interrupted())
    assert ended.value.code == 130


async def test_a_picture_is_drawn_once_unless_it_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = asyncio.Semaphore(0)

    async def draw() -> None:
        drawn.release()

    await watching(None, draw)
    await drawn.acquire()
    assert drawn.locked()
    going = asyncio.create_task(watching(0.001, draw))
    for _ in range(3):
        await drawn.acquire()
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert capsys.readouterr().out == "", "only a terminal is cleared"


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        (["queue", "ls", "--watch"], ["queue", "ls", "--watch=2"]),
        (["queue", "ls", "--watch", "5"], ["queue", "ls", "--watch", "5"]),
        (["queue", "ls", "-w", "0.5", "--json"], ["queue", "ls", "-w", "0.5", "--json"]),
        (["queue", "ls", "-w", "--json"], ["queue", "ls", "--watch=2", "--json"]),
        (["queue", "ls", "--watch=3"], ["queue", "ls", "--watch=3"]),
    ],
)
def test_watch_takes_seconds_or_none(given: list[str], filled: list[str]) -> None:
    assert _with_seconds(given) == filled


def test_words() -> None:
    spans = [0, 0.04, 0.34, 9.94, 10, 59.6, 61, 3_600, 5_430, 90_000, 4e6]
    assert [span(seconds) for seconds in spans] == [
        *("0s", "0s", "0.3s", "9.9s", "10s", "1m", "1m1s", "1h", "1h30m", "1d1h", "46d7h"),
    ]
    assert (relative(0, 100), relative(40, 100), relative(160, 100)) == ("", "1m ago", "in 1m")
    assert moment(0, 100) == ""
    assert moment(86_400, 86_460) == "1970-01-02 00:00:00 UTC (1m ago)"
    assert moment(1e20, 100).startswith("1" + "0" * 20)
    assert (text_of(None), text_of("ü".encode())) == ("", "ü")
    assert "not text" in text_of(b"\xff")
    assert (count(1, "task"), count(1_000, "task")) == ("1 task", "1,000 tasks")
    assert [size(number) for number in (0, 999, 1_500, 12_345_678, 10**15)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "12 MB",
        "1 PB",
    ]
    assert (rate(1, 3), rate(0, 0)) == ("33.33%", "")


# --- on a terminal --------------------------------------------------------------------------------


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A store of 3,000 tasks, each with what an attacker would put in."""
    url = f"sqlite:///{tmp_path}/tasks.db"

    async def fill() -> None:
        async with open_broker(url) as store:
            await put(
                store, *(entry(f"t{number}", payload=b"\x1b[2J\x1b]0;owned\x07") for number in range(3_000))
            )

    asyncio.run(fill())
    return {"ASYNQIO_BROKER": url}


BULK = ["task", "delete", "--state", "pending", "--where", "id=t1"]


def test_one_is_asked_and_sees_how_far_it_is(tmp_path: Path, env: dict[str, str]) -> None:
    with screen(*BULK, cwd=tmp_path, env=env) as shown:
        asked = shown.until("[y/N]")
        assert "Delete 1,111 pending tasks of all queues that match?" in asked
        shown.type("y\n")
        assert "1,111 tasks deleted (3,000 looked at)" in shown.until("looked at)")
        assert shown.end() == 0
        assert re.search(r"delete.*3000/3000|\d+/3000", shown.text), "a bar"


def test_no_is_no(tmp_path: Path, env: dict[str, str]) -> None:
    for answer in ("n\n", "\n", "\x04"):
        with screen(*BULK, cwd=tmp_path, env=env) as shown:
            shown.until("[y/N]")
            shown.type(answer)
            assert shown.end() == 2
            assert "asynqio: nothing was done" in shown.text
    with screen(*BULK, cwd=tmp_path, env=env) as shown:
        shown.until("[y/N]")
        shown.type("\x03")
        assert shown.end() == 130
        assert "Traceback" not in shown.text
    assert '"pending": 3000' in asynqio("queue", "ls", "--json", cwd=tmp_path, env=env).stdout


def test_a_terminal_is_not_moved_by_what_tasks_carry(tmp_path: Path, env: dict[str, str]) -> None:
    with screen("task", "ls", "-n", "3", cwd=tmp_path, env={**env, "NO_COLOR": "1"}) as shown:
        assert shown.end() == 0
        assert "\x1b[2J" not in shown.text
        assert "\x07" not in shown.text
        assert r"\x1b[2J" in shown.text
        assert not re.search("\x1b\\[3[0-9]", shown.text), "no colours"
        assert max(map(len, re.sub("\x1b\\[[0-9;]*m", "", shown.text).splitlines())) <= 80
    with screen("task", "inspect", "t1", cwd=tmp_path, env=env) as shown:
        assert shown.end() == 0
        assert "\x1b[2J" not in shown.text


def test_watching_draws_again_on_a_cleared_screen_until_ctrl_c(tmp_path: Path, env: dict[str, str]) -> None:
    with screen("stats", "--watch", "0.1", cwd=tmp_path, env=env) as shown:
        while shown.text.count("\x1b[2J") < 3:
            shown.until("\x1b[2J" * 1)
            shown._more()
        shown.type("\x03")
        assert shown.end() == 130
        assert "Traceback" not in shown.text


def test_ctrl_c_stops_a_long_work_and_says_how_far_it_was(tmp_path: Path, env: dict[str, str]) -> None:
    with screen(
        "task", "archive", "-s", "pending", "--where", "id=t", "--yes", cwd=tmp_path, env=env
    ) as shown:
        shown.until("/3000")
        shown.type("\x03")
        status = shown.end()
        assert status in (0, 130), "it may have been quicker"
        if status == 130:
            assert "archived so far" in shown.text
        assert "Traceback" not in shown.text


def test_help_costs_no_more_than_the_library_behind_it(tmp_path: Path) -> None:
    """Commands are made when they are used: the page of help names the nouns and imports none of them."""
    from tests.cli.test_basics import modules_after

    loaded = modules_after(["--help"], tmp_path)
    assert "asynqio.cli.lazy_groups" in loaded
    assert not loaded & {
        "asynqio.cli.task.commands",
        "asynqio.cli.task.action_commands",
        "asynqio.cli.queue.commands",
        "asynqio.cli.server.commands",
    }
    assert "Delete tasks (also: rm, remove)." in asynqio("task", cwd=tmp_path).stderr
