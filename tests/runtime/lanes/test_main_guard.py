"""A script without a main guard runs again in each task process, which imports it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import asyncio
from asynqio import App

app = App("memory://")

@app.task("work", run_in="process", max_retry=0)
def work(): ...

async def main():
    failed = asyncio.Queue()

    @app.on_error
    async def on_error(task, error, final):
        failed.put_nowait(error)

    async with app, app.running(processes=1):
        await work.enqueue()
        error = await asyncio.wait_for(failed.get(), 20)
        print(type(error).__name__, error)

asyncio.run(main())
"""


def test_a_script_without_a_main_guard_does_not_start_a_second_worker(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, timeout=60, text=True)
    assert done.stdout.splitlines() == [
        "ProcessNotStarted no task process could be started: it exited with status 1"
    ]
    assert 'if __name__ == "__main__":' in done.stderr
