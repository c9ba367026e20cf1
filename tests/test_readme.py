"""A newcomer's path: what the README shows, typed in as it stands there, with a real worker process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pages import ROOT, blocks_of

README = list(blocks_of(ROOT / "README.md"))
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ASYNQIO_")}


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The worker of the README, until TERM ends it well."""
    [command] = [block.text for block in README if "asynqio worker" in block.text]
    arguments = command.removeprefix("$ asynqio ").split()
    with subprocess.Popen(
        [sys.executable, "-m", "asynqio", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
        assert process.returncode == 0, log
        assert "Traceback" not in log


def test_the_complete_example(tmp_path: Path) -> None:
    tasks, asking = (block for block in README if block.language == "python")
    lines = [line for line in (tasks.text + asking.text).splitlines() if line.strip()]
    assert len(lines) < 15, "the whole of it fits in less than 15 lines"
    (tmp_path / tasks.file).write_text(tasks.text)
    with worker(tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "asyncio"],
            input=asking.text,
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    [shown] = [block.text for block in README if "output" in block.marks]
    assert shown.strip() in done.stdout, done.stderr
