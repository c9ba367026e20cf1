"""Prints versions: `asynqio version`."""

from __future__ import annotations

import platform
import sqlite3
from importlib import metadata

from asynqio import __version__
from asynqio.cli.output.json import show
from asynqio.cli.output.table import print_fields


def show_version(*, as_json: bool) -> None:
    """Print the versions, without loading a broker."""
    versions = {
        "asynqio": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()} {platform.machine()}",
        "sqlite": sqlite3.sqlite_version,
        "msgspec": metadata.version("msgspec"),
    }
    show(versions, lambda: print_fields(list(versions.items())), as_json=as_json)
