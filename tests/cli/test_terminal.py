"""The output helpers, and commands on a real terminal with real keys."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.cli.event_loop import run
from asynqio.cli.main import _fill_in_watch
from asynqio.cli.output.format import (
    byte_size,
    bytes_text,
    count,
    duration,
    error_rate,
    relative,
    timestamp,
)
from asynqio.cli.output.json import show
from asynqio.cli.output.table import print_fields, print_table
from asynqio.cli.output.terminal import Refused, clean, confirm, progress
from asynqio.cli.output.watch import repeat
from tests.builders import entry
from tests.cli.support.command import asynqio
from tests.cli.support.terminal import terminal
from tests.conformance.helpers import put


def test_control_characters_are_escaped() -> None:
    assert clean("ordinary ünï 漢字") == "ordinary ünï 漢字"
    assert clean("\x1b[31mred\x07\r\nnext\t\x9b2J\u202e") == r"\x1b[31mred\x07\r\nnext\t\x9b2J\u202e"
    assert clean("\ud800") == r"\ud800"
    assert clean(None) == ""
    assert clean(7) == "7"


def test_tables_are_truncated_only_on_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "size"), [("a" * 300, 7), ("[bold]b\n", 1_000)], right=("size",))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "name" + " " * 298 + "size"
    assert second == "a" * 300 + "     7"
    assert third == r"[bold]b\n" + " " * 293 + "1000"
    print_table(("name",), [])
    assert capsys.readouterr().out == "name\n"


def test_fields_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("id", "a"), ("last error", "x\ny"), ("none", None)])
    assert capsys.readouterr().out == "id          a\nlast error  x\\ny\nnone\n"


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show({"a": [1, "ü\x1b"]}, lambda: None, as_json=True)
    assert capsys.readouterr().out == '{"a": [1, "\\u00fc\\u001b"]}\n'
    show({}, lambda: print("text"), as_json=False)
    assert capsys.readouterr().out == "text\n"
    with pytest.raises(TypeError):
        show({"a": object()}, lambda: None, as_json=True)


def test_confirm_refuses_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(Refused, match="Sure\\? Confirm with --yes"):
        confirm("Sure?", yes=False)
    confirm("Sure?", yes=True)
    assert capsys.readouterr() == ("", "")


def test_progress_prints_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("searching", 10) as update:
        update(5)
    assert capsys.readouterr() == ("", "")


def test_run_returns_the_result_and_exits_silently_on_ctrl_c() -> None:
    async def answer() -> int:
        return 7

    async def interrupted() -> None:
        raise KeyboardInterrupt

    assert run(answer()) == 7
    with pytest.raises(SystemExit) as ended:
        run(interrupted())
    assert ended.value.code == 130


async def test_output_is_drawn_once_without_watch(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = asyncio.Semaphore(0)

    async def draw() -> None:
        drawn.release()

    await repeat(None, draw)
    await drawn.acquire()
    assert drawn.locked()
    repeating = asyncio.create_task(repeat(0.001, draw))
    for _ in range(3):
        await drawn.acquire()
    repeating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await repeating
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
def test_watch_has_an_optional_value(given: list[str], filled: list[str]) -> None:
    assert _fill_in_watch(given) == filled


def test_formats() -> None:
    durations = [0, 0.04, 0.34, 9.94, 10, 59.6, 61, 3_600, 5_430, 90_000, 4e6]
    assert [duration(seconds) for seconds in durations] == [
        *("0s", "0s", "0.3s", "9.9s", "10s", "1m", "1m1s", "1h", "1h30m", "1d1h", "46d7h"),
    ]
    assert (relative(0, 100), relative(40, 100), relative(160, 100)) == ("", "1m ago", "in 1m")
    assert timestamp(0, 100) == ""
    assert timestamp(86_400, 86_460) == "1970-01-02 00:00:00 UTC (1m ago)"
    assert timestamp(1e20, 100).startswith("1" + "0" * 20)
    assert (bytes_text(None), bytes_text("ü".encode())) == ("", "ü")
    assert "not UTF-8" in bytes_text(b"\xff")
    assert (count(1, "task"), count(1_000, "task")) == ("1 task", "1,000 tasks")
    assert [byte_size(number) for number in (0, 999, 1_500, 12_345_678, 10**15)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "12 MB",
        "1 PB",
    ]
    assert (error_rate(1, 3), error_rate(0, 0)) == ("33.33%", "")


# --- on a terminal --------------------------------------------------------------------------------


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A store of 3,000 tasks whose payloads contain terminal escape sequences."""
    url = f"sqlite:///{tmp_path}/tasks.db"

    async def fill() -> None:
        async with open_broker(url) as store:
            await put(
                store, *(entry(f"t{number}", payload=b"\x1b[2J\x1b]0;owned\x07") for number in range(3_000))
            )

    asyncio.run(fill())
    return {"ASYNQIO_BROKER": url}


BULK = ["task", "delete", "--state", "pending", "--where", "id=t1"]


def test_bulk_actions_ask_and_show_a_progress_bar(tmp_path: Path, env: dict[str, str]) -> None:
    with terminal(*BULK, cwd=tmp_path, env=env) as session:
        asked = session.until("[y/N]")
        assert "Delete 1,111 pending tasks of all queues that match?" in asked
        session.type("y\n")
        assert "1,111 tasks deleted (3,000 examined)" in session.until("examined)")
        assert session.end() == 0
        assert re.search(r"delete.*3000/3000|\d+/3000", session.text), "a bar"


def test_only_yes_confirms(tmp_path: Path, env: dict[str, str]) -> None:
    for answer in ("n\n", "\n", "\x04"):
        with terminal(*BULK, cwd=tmp_path, env=env) as session:
            session.until("[y/N]")
            session.type(answer)
            assert session.end() == 2
            assert "asynqio: aborted; nothing was changed" in session.text
    with terminal(*BULK, cwd=tmp_path, env=env) as session:
        session.until("[y/N]")
        session.type("\x03")
        assert session.end() == 130
        assert "Traceback" not in session.text
    assert '"pending": 3000' in asynqio("queue", "ls", "--json", cwd=tmp_path, env=env).stdout


def test_payloads_cannot_control_the_terminal(tmp_path: Path, env: dict[str, str]) -> None:
    with terminal("task", "ls", "-n", "3", cwd=tmp_path, env={**env, "NO_COLOR": "1"}) as session:
        assert session.end() == 0
        assert "\x1b[2J" not in session.text
        assert "\x07" not in session.text
        assert r"\x1b[2J" in session.text
        assert not re.search("\x1b\\[3[0-9]", session.text), "no colours"
        assert max(map(len, re.sub("\x1b\\[[0-9;]*m", "", session.text).splitlines())) <= 80
    with terminal("task", "inspect", "t1", cwd=tmp_path, env=env) as session:
        assert session.end() == 0
        assert "\x1b[2J" not in session.text


def test_watch_redraws_on_a_cleared_screen_until_ctrl_c(tmp_path: Path, env: dict[str, str]) -> None:
    with terminal("stats", "--watch", "0.1", cwd=tmp_path, env=env) as session:
        while session.text.count("\x1b[2J") < 3:
            session.until("\x1b[2J" * 1)
            session.read()
        session.type("\x03")
        assert session.end() == 130
        assert "Traceback" not in session.text


def test_ctrl_c_interrupts_a_bulk_action_and_prints_the_progress(tmp_path: Path, env: dict[str, str]) -> None:
    with terminal(
        "task", "archive", "-s", "pending", "--where", "id=t", "--yes", cwd=tmp_path, env=env
    ) as session:
        session.until("/3000")
        session.type("\x03")
        status = session.end()
        assert status in (0, 130), "it may have finished before"
        if status == 130:
            assert "archived so far" in session.text
        assert "Traceback" not in session.text


def test_help_imports_no_command(tmp_path: Path) -> None:
    """The root help comes from a table; the modules of commands are imported when a command is used."""
    from tests.cli.test_main import modules_after

    loaded = modules_after(["--help"], tmp_path)
    assert "asynqio.cli.lazy_groups" in loaded
    assert not loaded & {
        "asynqio.cli.task.commands",
        "asynqio.cli.queue.commands",
        "asynqio.cli.server.commands",
        "asynqio.cli.worker.commands",
        "asynqio.cli.system.commands",
    }
    assert "Delete tasks (aliases: rm, remove)." in asynqio("task", cwd=tmp_path).stderr
