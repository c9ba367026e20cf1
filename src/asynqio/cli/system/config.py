"""`asynqio config check`, and where the configuration file is."""

from __future__ import annotations

import json
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asynqio import ConfigError, Setting, load_config

#: Read when it is there and no other file is named.
DEFAULT_FILE = Path("asynqio.toml")


def file_or_default(file: Path | None) -> Path | None:
    """The configuration file to read. Raises ConfigError when the one that was named is not there."""
    if file is None:
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    if not file.is_file():
        raise ConfigError([f"there is no configuration file {str(file)!r}"])
    return file


def show_settings(file: Path | None, *, as_json: bool) -> int:
    """Print the settings, or all problems; the exit status."""
    settings: list[Setting] = []
    problems: tuple[str, ...] = ()
    try:
        _, loaded = load_config({}, file=file_or_default(file))
        settings = [_broker(), *loaded]
    except ConfigError as error:
        problems = error.problems
    if as_json:
        shown = [{"name": s.name, "value": _plain(s.value), "origin": s.origin} for s in settings]
        print(json.dumps({"settings": shown, "problems": problems}))
    else:
        _print_table(settings)
        for problem in problems:
            print(f"asynqio: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _broker() -> Setting:
    """The broker is not part of a server's configuration, but the first thing one wants to know."""
    url = os.environ.get("ASYNQIO_BROKER")
    if not url:
        return Setting("broker", "(the one of the App)", "default")
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:  # a password is nobody's business
        url = parts._replace(netloc=f"{user.partition(':')[0]}:***{at}{host}").geturl()
    return Setting("broker", url, "ASYNQIO_BROKER")


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={weight}" for name, weight in value.items())
    return str(_plain(value)).lower() if isinstance(value, bool) else str(_plain(value))


def _print_table(settings: list[Setting]) -> None:
    if not settings:
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for setting in settings:
        style = "dim" if setting.origin == "default" else "bold"
        table.add_row(Text(setting.name), Text(_text(setting.value)), Text(setting.origin), style=style)
    Console().print(table)
