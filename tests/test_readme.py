"""Runs the commands and code of the README as written, with a real worker process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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


def commands_of(text: str) -> list[str]:
    """The commands of a console block, continuation lines included, without prompts and output."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(line[2:])
        elif found and found[-1].endswith("\\"):
            found[-1] += f"\n{line}"
    return found


def test_two_terminals_and_curl(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    tasks = next(block for block in README if block.language == "python")
    (tmp_path / tasks.file).write_text(tasks.text)
    servers, asking = (block.text.replace("8080", port) for block in README if "127.0.0.1:8080" in block.text)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "asynqio").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m asynqio "$@"\n')
    (programs / "asynqio").chmod(0o755)
    env = {
        **ENVIRONMENT,
        "PATH": f"{programs}:{ENVIRONMENT['PATH']}",
        "ASYNQ_SERVER_ADDR": f"127.0.0.1:{port}",
    }
    with ExitStack() as stack:
        for command, ready in zip(commands_of(servers), ("listens on", "server started"), strict=True):
            process = stack.enter_context(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command}"],
                    cwd=tmp_path,
                    env=env,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            assert process.stderr is not None
            assert any(ready in line for line in process.stderr), f"{command} did not start"
        done = subprocess.run(
            ["bash", "-c", "\n".join(commands_of(asking))],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
    shown = asking.splitlines()[-1]
    answer, promised = json.loads(done.stdout), json.loads(shown)
    assert answer == {**promised, "job_id": answer["job_id"]}
