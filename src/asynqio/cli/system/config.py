"""Finds the configuration file and prints the settings: `asynqio config check`."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asynqio import ConfigError, Setting, load_config, open_broker, unknown_variables
from asynqio.cli.exit_status import REFUSED
from asynqio.cli.output.json import show
from asynqio.cli.output.terminal import hint

#: Read if it exists and `--config` names no other file.
DEFAULT_FILE = Path("asynqio.toml")


def file_or_default(file: Path | None) -> Path | None:
    """The configuration file to read, if any. Raises ConfigError if `file` does not exist."""
    if file is None:
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    if not file.is_file():
        raise ConfigError([f"there is no configuration file {str(file)!r}"])
    return file


def show_settings(file: Path | None, *, as_json: bool) -> int:
    """Print the settings, or all errors. Returns the exit status."""
    settings: list[Setting] = []
    problems: tuple[str, ...] = ()
    try:
        _, loaded = load_config({}, file=file_or_default(file))
        settings = [_broker(), *loaded]
    except ConfigError as error:
        problems = error.problems
    problems = (*problems, *unknown_variables())

    def print_text() -> None:
        _print_table(settings)
        for problem in problems:
            hint(problem)

    shown = [{"name": s.name, "value": s.value, "origin": s.origin} for s in settings]
    show({"settings": shown, "problems": problems}, print_text, as_json=as_json)
    return REFUSED if problems else 0


def _broker() -> Setting:
    """The broker of ASYNQIO_BROKER, shown beside the settings of the server. Hides the password."""
    url = os.environ.get("ASYNQIO_BROKER")
    if not url:
        return Setting("broker", "(the App's)", "default")
    open_broker(url)
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        url = parts._replace(netloc=f"{user.partition(':')[0]}:***{at}{host}").geturl()
    return Setting("broker", url, "ASYNQIO_BROKER")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={weight}" for name, weight in value.items())
    plain = value.value if isinstance(value, Enum) else value
    return str(plain).lower() if isinstance(value, bool) else str(plain)


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
