"""huey (SqliteHuey), in a virtual environment under `.cache/bench-peers/`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.harness.case import Case, Size, Values

VERSION = "3.5.4"
HOME = Path(__file__).parents[2] / ".cache" / "bench-peers" / f"huey-{VERSION}"
#: Run with -P, because its directory contains this huey.py.
PROGRAM = Path(__file__).with_name("huey_program.py")
SYSTEM = "huey"
#: Worker threads of huey.
SLOTS = 10


async def cases() -> list[Case]:
    """The cases of huey; none, with a message, if it cannot be installed."""
    python = HOME / "bin" / "python"
    if not python.exists():
        print(f"installing huey {VERSION} under {HOME}", file=sys.stderr)
        try:
            await _call(sys.executable, "-m", "venv", str(HOME))
            await _call(str(python), "-m", "pip", "install", "--quiet", f"huey=={VERSION}")
        except RuntimeError as problem:
            print(f"without huey: {problem}", file=sys.stderr)
            python.unlink(missing_ok=True)
            return []
    return [
        Case(SYSTEM, "enqueue", partial(_measure, python, "enqueue one by one, tasks/s", "enqueue")),
        Case(
            SYSTEM,
            f"drain, {SLOTS} slots",
            partial(_measure, python, f"drain, {SLOTS} slots, tasks/s", "drain"),
        ),
    ]


async def _measure(python: Path, row: str, command: str, size: Size) -> Values:
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        output = await _call(
            str(python), "-P", str(PROGRAM), command, f"{directory}/huey.db", str(size.slow), str(SLOTS)
        )
    return {row: msgspec.json.decode(output, type=float)}


async def _call(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"{command[0]} failed")
    return output
