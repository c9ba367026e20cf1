"""Watches Python files for `asynqio worker --reload`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from asynqio import ConfigError


async def python_changes(root: Path) -> AsyncIterator[list[str]]:
    """Yield batches of changed .py files below `root`, except in virtual environments and caches. Raises ConfigError
    if watchfiles is not installed."""
    try:
        from watchfiles import PythonFilter, awatch
    except ModuleNotFoundError:
        raise ConfigError(["--reload needs watchfiles: pip install 'asynqio[cli]'"]) from None
    async for changes in awatch(root, watch_filter=PythonFilter()):
        yield sorted({str(Path(path).relative_to(root)) for _, path in changes})
