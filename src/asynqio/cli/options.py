"""Options shared by several commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option, Typer


def command_group(help: str) -> Typer:
    """A group of commands: `asynqio task`, `asynqio queue` and so on."""
    return Typer(help=help, rich_markup_mode=None, no_args_is_help=True)


# --- all commands ---------------------------------------------------------------------------------


def _url(text: str | None) -> str | None:
    """Accept `host:port`, as asynq's tool in Go does with --uri. Without a URL: the default."""
    if text is None:
        from asynqio.cli.default_broker import default_broker

        return default_broker()
    return text if "://" in text else f"redis://{text}"


def _seconds(text: str) -> float:
    """Parse a duration: `90` (seconds) or `1h30m`."""
    from asynqio import parse_seconds

    try:
        return parse_seconds(text)
    except ValueError as error:
        raise BadParameter(str(error)) from None


BrokerUrl = Annotated[
    str | None,
    Option(
        "--broker",
        "-b",
        "--uri",
        metavar="URL",
        envvar="ASYNQIO_BROKER",
        show_envvar=True,
        callback=_url,
        help="The broker (default: the gateway at ws://127.0.0.1:8080). host:port means Redis.",
    ),
]
Json = Annotated[bool, Option("--json", help="Print JSON.")]
Watch = Annotated[
    float | None,
    Option("--watch", "-w", metavar="[SECONDS]", min=0.1, help="Refresh every SECONDS (default 2)."),
]
Timeout = Annotated[
    float | None,
    Option(
        "--timeout",
        metavar="TIME",
        parser=_seconds,
        help="Stop waiting after TIME and exit with status 3: 90, 1h30m.",
    ),
]
Yes = Annotated[bool, Option("--yes", "-y", help="Do not ask for confirmation.")]


# --- commands that load an App, and long-running commands -----------------------------------------


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """The format of log lines."""

    TEXT = "text"
    JSON = "json"
    PRETTY = "pretty"


AppTarget = Annotated[str, Argument(metavar="MODULE:APP", help="The App to import, such as shop.tasks:app.")]
AppBrokerUrl = Annotated[
    str | None, Option("--broker", metavar="URL", help="Use this broker instead of the App's.")
]
ConfigFile = Annotated[
    Path | None,
    Option("--config", metavar="FILE", help="Configuration file (default asynqio.toml, if it exists)."),
]
Include = Annotated[
    list[str] | None,
    Option(
        "--include",
        metavar="MODULES",
        help="Import modules that declare tasks: shop.tasks, or shop.* for all modules of a package. Repeatable.",
    ),
]
LogLevelOption = Annotated[
    LogLevel, Option("--log-level", case_sensitive=False, help="The lowest level that is logged.")
]
LogFormatOption = Annotated[
    LogFormat,
    Option(
        "--log-format",
        case_sensitive=False,
        help="text: one line per record; json: one JSON object per line; pretty: with colours on a terminal.",
    ),
]


# --- selecting tasks ------------------------------------------------------------------------------


class State(StrEnum):
    """The state of a task."""

    PENDING = "pending"
    ACTIVE = "active"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    ARCHIVED = "archived"
    COMPLETED = "completed"
    AGGREGATING = "aggregating"


class ListFormat(StrEnum):
    """The format of a list."""

    TABLE = "table"
    JSON = "json"
    IDS = "ids"


Where = Annotated[
    list[str] | None,
    Option(
        "--where",
        metavar="NAME=VALUE",
        help="Only matching tasks: type=email:*, payload.customer.id=42, payload=TEXT, error=TEXT, id=PREFIX, "
        "older=1h, younger=2d. Repeatable; all conditions must hold.",
    ),
]
TypeFilter = Annotated[
    str | None, Option("--type", "-t", metavar="TYPE", help="Only tasks of this type. * matches any text.")
]
ErrorFilter = Annotated[
    str | None, Option("--error", metavar="TEXT", help="Only tasks whose last error contains TEXT.")
]
IdPrefixFilter = Annotated[
    str | None, Option("--id-prefix", metavar="TEXT", help="Only tasks whose id starts with TEXT.")
]
OlderFilter = Annotated[
    str | None, Option("--older-than", metavar="TIME", help="Only tasks older than TIME: 90, 1h30m, 7d.")
]
YoungerFilter = Annotated[
    str | None, Option("--younger-than", metavar="TIME", help="Only tasks younger than TIME.")
]


def conditions(
    where: list[str] | None,
    type: str | None,
    error: str | None,
    id_prefix: str | None,
    older_than: str | None,
    younger_than: str | None,
) -> list[str]:
    """All filter options as conditions of one filter."""
    named = {"type": type, "error": error, "id": id_prefix, "older": older_than, "younger": younger_than}
    return [*(where or []), *(f"{name}={value}" for name, value in named.items() if value is not None)]
