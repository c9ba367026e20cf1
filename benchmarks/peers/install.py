"""Installs peers, each in a virtual environment that can be deleted at any time."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers import process

CACHE = Path(__file__).parents[2] / ".cache" / "bench-peers"


async def environment(name: str, *requirements: str) -> Path:
    """Install packages in the virtual environment `name`; return its Python. Raises process.PeerError."""
    home = CACHE / name
    python, complete = home / "bin" / "python", home / ".complete"
    required = "\n".join(requirements)
    if not complete.exists() or complete.read_text() != required:
        print(f"installing {', '.join(requirements)} under {home}", file=sys.stderr)
        await process.call(sys.executable, "-m", "venv", "--clear", str(home))
        await process.call(
            *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
        )
        complete.write_text(required)
    return python
