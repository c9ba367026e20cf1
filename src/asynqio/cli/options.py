"""Options that several commands have in common."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from typer import BadParameter, Option, Typer


def _url(text: str | None) -> str | None:
    """Go's tool takes an address, and calls it a URI."""
    return text if text is None or "://" in text else f"redis://{text}"


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
        help="Which broker; host:port means Redis.",
    ),
]
Json = Annotated[bool, Option("--json", help="Print JSON, for scripts.")]
Watch = Annotated[
    float | None,
    Option(
        "--watch", "-w", metavar="[SECONDS]", min=0.1, help="Again and again, every 2 seconds or so many."
    ),
]


def _seconds(text: str) -> float:
    """A duration as in all options: seconds, or 1h30m."""
    from asynqio import parse_seconds

    try:
        return parse_seconds(text)
    except ValueError as error:
        raise BadParameter(str(error)) from None


Timeout = Annotated[
    float | None,
    Option(
        "--timeout", metavar="TIME", parser=_seconds, help="Wait no longer, and end with status 3: 90, 1h30m."
    ),
]
Yes = Annotated[bool, Option("--yes", "-y", help="Do not ask.")]


class State(StrEnum):
    """Where a task is."""

    PENDING = "pending"
    ACTIVE = "active"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    ARCHIVED = "archived"
    COMPLETED = "completed"
    AGGREGATING = "aggregating"


class Output(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    JSON = "json"
    IDS = "ids"


Where = Annotated[
    list[str] | None,
    Option(
        "--where",
        metavar="NAME=VALUE",
        help="Only tasks like this: type=email:*, payload.customer.id=42, payload=TEXT, error=TEXT, id=PREFIX, "
        "older=1h, younger=2d. Several: all must hold.",
    ),
]
OfType = Annotated[str | None, Option("--type", "-t", metavar="TYPE", help="Only this type; * is anything.")]
WithError = Annotated[str | None, Option("--error", metavar="TEXT", help="Only with this in the last error.")]
WithPrefix = Annotated[str | None, Option("--id-prefix", metavar="TEXT", help="Only ids that begin so.")]
Older = Annotated[str | None, Option("--older-than", metavar="TIME", help="Only older ones: 90, 1h30m, 7d.")]
Younger = Annotated[str | None, Option("--younger-than", metavar="TIME", help="Only younger ones.")]


def conditions(
    where: list[str] | None,
    type: str | None,
    error: str | None,
    prefix: str | None,
    older: str | None,
    younger: str | None,
) -> list[str]:
    """All that was said of the tasks that are meant, as conditions of a filter."""
    named = {"type": type, "error": error, "id": prefix, "older": older, "younger": younger}
    return [*(where or []), *(f"{name}={value}" for name, value in named.items() if value is not None)]


def group_of_commands(help: str) -> Typer:
    """Commands of one noun."""
    return Typer(help=help, rich_markup_mode=None, no_args_is_help=True)
