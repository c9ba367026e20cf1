"""Runs the commands and code of the README as written, with a real worker process."""

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
    """Runs the README's worker; at the end, TERM must stop it cleanly."""
    command = next(block.text for block in README if "asynqio worker" in block.text)
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
    assert len(lines) < 15, "the example has less than 15 lines"
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
