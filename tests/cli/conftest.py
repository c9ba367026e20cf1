"""An App for the command line to run."""

from __future__ import annotations

from pathlib import Path

import pytest

#: Enqueues one task per line of standard input: `0.5 one` is a task named "one" that sleeps 0.5 seconds.
TALKER = """
import asyncio, contextlib, os, sys
from asynqio import App

app = App("memory://")

def say(*words):  # one write per line: several processes share the pipe
    os.write(1, f"{' '.join(map(str, words))}\\n".encode())

@app.task
async def nap(seconds: float, name: str) -> None:
    say("begins", name)
    await asyncio.sleep(seconds)
    say("ended", name)

@app.lifespan
@contextlib.asynccontextmanager
async def lifespan():
    async def read():
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).decode().split():
            await nap.enqueue(float(line[0]), line[1])
            say("took", line[1])
    if "FIRST" in os.environ:
        await nap.enqueue(float(os.environ["FIRST"]), "first")
    reading = asyncio.create_task(read())
    yield {}
    reading.cancel()
    say("lifespan over", os.getpid())
"""


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    """A directory with the module `talker`."""
    (tmp_path / "talker.py").write_text(TALKER)
    return tmp_path
