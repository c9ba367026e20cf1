"""Where peers live: each in a directory of its own that can be deleted at any time."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers import process

CACHE = Path(__file__).parents[2] / ".cache" / "bench-peers"


async def environment(name: str, *requirements: str) -> Path:
    """The Python of a virtual environment in which these are installed. Raises process.Broken."""
    home = CACHE / name
    python, complete = home / "bin" / "python", home / ".complete"
    wanted = "\n".join(requirements)
    if not complete.exists() or complete.read_text() != wanted:
        print(f"installing {', '.join(requirements)} under {home}", file=sys.stderr)
        await process.call(sys.executable, "-m", "venv", "--clear", str(home))
        await process.call(
            *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
        )
        complete.write_text(wanted)
    return python
