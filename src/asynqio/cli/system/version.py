"""`asynqio version`."""

from __future__ import annotations

import json
import platform
import sqlite3
from importlib import metadata

from asynqio import __version__


def show_version(*, as_json: bool) -> None:
    """Print it. Loads no broker."""
    versions = {
        "asynqio": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()} {platform.machine()}",
        "sqlite": sqlite3.sqlite_version,
        "msgspec": metadata.version("msgspec"),
    }
    if as_json:
        print(json.dumps(versions))
        return
    for name, version in versions.items():
        print(f"{name:<15} {version}")
