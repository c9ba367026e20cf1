"""Worker processes that share one broker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.cli.support.command import asynqio, command

pytest.importorskip("asynqio.brokers.sqlite")

SHOP = """
import asyncio, os
from asynqio import App
app = App("sqlite:///shop.db")

def say(line: str) -> None:  # one write per line: the workers share the pipe
    os.write(1, f"{line}\\n".encode())

@app.task
async def pack(order: int) -> None:
    say(f"packing {order} in {os.getpid()}")
    await asyncio.sleep(0.5)
    say(f"packed {order}")

async def produce() -> None:
    async with app:
        await app.enqueue_many(pack.task(order) for order in range(20))

if __name__ == "__main__":
    asyncio.run(produce())
"""


def test_a_killed_worker_loses_no_task(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "fill.py").write_text(
        "import asyncio, shop\nasyncio.run(shop.produce())\nfrom shop import app\n"
    )
    arguments = ["worker", "shop:app", "-p", "2", "-c", "2", "--lease", "2"]
    with command(*arguments, cwd=tmp_path) as supervisor:
        supervisor.lines("server started", 2)
        assert "keeps tasks in this process only" not in supervisor.text
        # The worker of a second command fills the queue and runs tasks too.
        with command("worker", "fill:app", "-c", "1", cwd=tmp_path) as helper:
            victim = int(supervisor.line(r"packing \d+ in (\d+)")[1])
            os.kill(victim, signal.SIGKILL)
            helper.line("packed")
            helper.signal(signal.SIGTERM)
            assert helper.end() == 0
            helped = {line.split()[1] for line in helper.seen if line.startswith("packed")}
        packed = set(helped) | {line.split()[1] for line in supervisor.seen if line.startswith("packed")}
        while len(packed) < 20:
            packed.add(supervisor.line(r"^packed (\d+)")[1])
        supervisor.signal(signal.SIGTERM)
        assert supervisor.end() == 0
        assert packed == {str(order) for order in range(20)}


def test_the_demo_on_a_file(tmp_path: Path) -> None:
    for _ in range(2):  # the second run finds the tasks that the first one left
        done = asynqio("demo", "--seconds", "3", "--broker", "sqlite:///demo.db", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "+ lost 0;" in done.stdout


def test_two_demos_on_one_file_are_refused(tmp_path: Path) -> None:
    with command("demo", "--broker", "sqlite:///demo.db", cwd=tmp_path) as first:
        first.line("enqueued")
        done = asynqio("demo", "--seconds", "3", "--broker", "sqlite:///demo.db", cwd=tmp_path)
        assert done.returncode == 2
        assert "another demo uses this broker" in done.stderr
        first.signal(signal.SIGINT)
        assert first.end() == 0
