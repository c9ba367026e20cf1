"""`asynqio demo`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from asynqio.cli.demo.ledger import percentile
from tests.cli.support.command import asynqio, command, environment

SUMMARY = re.compile(
    r"^demo: (?P<seconds>[\d.]+) s, enqueued (?P<enqueued>\d+) = done (?P<done>\d+) \+ merged (?P<merged>\d+) "
    r"\+ archived (?P<archived>\d+) \+ waiting (?P<waiting>\d+) \+ lost (?P<lost>\d+); "
    r"(?P<rate>[\d.]+) tasks/s, retries (?P<retries>\d+), failures (?P<failures>\d+), "
    r"duplicates refused (?P<refused>\d+), start latency p50 (?P<p50>[\d.]+) ms p99 (?P<p99>[\d.]+) ms$"
)


def check(line: str) -> dict[str, float]:
    """Parse a summary line, and check that its counts add up."""
    found = SUMMARY.match(line)
    assert found is not None, line
    numbers = {name: float(value) for name, value in found.groupdict().items()}
    parts = ("done", "merged", "archived", "waiting", "lost")
    assert numbers["enqueued"] == sum(numbers[part] for part in parts)
    assert numbers["lost"] == 0
    assert numbers["done"] > 0
    assert 0 < numbers["p50"] <= numbers["p99"]
    return numbers


def test_without_a_terminal_it_prints_lines_and_stops_after_the_time(tmp_path: Path) -> None:
    with command("demo", "--seconds", "5", cwd=tmp_path) as demo:
        assert demo.end() == 0
        *lines, last = demo.seen
        assert len(lines) == 2
        assert all(re.match(r" +\d+\.\d s  enqueued \d+ +done \d+ ", line) for line in lines)
        assert "\x1b" not in demo.text
        numbers = check(last)
        assert 4.5 < numbers["seconds"] < 15
        assert demo.survivors() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_process_group_stops_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with command("demo", cwd=tmp_path) as demo:
        demo.line("enqueued")
        os.killpg(demo.process.pid, number)
        assert demo.end() == 0
        check(demo.seen[-1])
        assert len(demo.seen) == 2
        assert demo.survivors() == []


def test_the_live_display_on_a_terminal(tmp_path: Path) -> None:
    primary, secondary = pty.openpty()
    fcntl.ioctl(primary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "asynqio", "demo", "--seconds", "3"],
        cwd=tmp_path,
        env=environment({"TERM": "xterm-256color", "NO_COLOR": "", "COLUMNS": "", "LINES": ""}),
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        start_new_session=True,
    )
    os.close(secondary)
    seen = b""
    with contextlib.suppress(OSError):  # the other end of the terminal is closed
        while chunk := os.read(primary, 65_536):
            seen += chunk
    os.close(primary)
    assert process.wait(30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    *_, last = text.strip().splitlines()
    check(last)
    frame = text[text.rindex("asynqio demo") :].splitlines()[:-1]
    assert max(map(len, frame)) <= 100
    shown = "\n".join(frame)
    for word in (
        "tasks/s",
        "pending",
        "scheduled",
        "critical",
        "email:send",
        "image:resize",
        "events",
        "p99 ms",
    ):
        assert word in shown
    assert "…" not in shown.partition("events")[0]
    assert b"\x1b[32m" in seen or b"\x1b[1;32m" in seen


def test_an_invalid_broker_url(tmp_path: Path) -> None:
    done = asynqio("demo", "--broker", "mysql://x", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the scheme must be one of" in done.stderr


def test_percentiles() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([3.0], 0.99) == 3.0
    assert percentile(range(100), 0.5) == 50
    assert percentile(range(100), 0.99) == 99
