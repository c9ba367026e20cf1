"""Brokers by URL. Drivers are imported when a URL needs them."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from asynqio.brokers.contract.broker import Store
from asynqio.clock import Clock
from asynqio.errors import ConfigError


def open_broker(url: str, *, clock: Clock | None = None) -> Store:
    """The broker of a URL, not yet open: use it in `async with`. Raises ConfigError.

    `memory://` (this process only), `memory://name` (shared by name within this process),
    `sqlite:///relative.db`, `sqlite:////absolute.db`, `redis://host:6379/0` and the other Redis schemes,
    `ws://host:8080` and `wss://user:password@host` (any store, through a gateway).
    """
    try:
        parts = _split(url)
    except ValueError:  # its text may contain the password
        advice = "write IPv6 addresses in brackets, and special characters in passwords as %XX"
        raise ConfigError([f"the broker URL cannot be parsed: {advice}"]) from None
    opener = _OPENERS.get(parts.scheme)
    if opener is None:
        known = ", ".join(f"{scheme}://" for scheme in _OPENERS)
        raise ConfigError([f"broker URL {_without_secrets(parts)!r}: the scheme must be one of {known}"])
    return opener(parts, clock)


def _split(url: str) -> SplitResult:
    """The parts of a URL. A sqlite URL has no fragment, and any character may stand in its path: it ends at the
    first `?`. `urlsplit` ends it at `#` too, and leaves out line breaks and tabs."""
    scheme, colon, rest = url.lstrip().partition(":")
    if not colon or scheme.lower() != "sqlite":
        return urlsplit(url)
    place, _, query = rest.rstrip("\r\n").partition("?")
    netloc, slash, path = place.removeprefix("//").partition("/")
    if not place.startswith("//"):
        netloc, slash, path = place, "", ""
    return SplitResult("sqlite", netloc, slash + path, query, "")


def _memory(parts: SplitResult, clock: Clock | None) -> Store:
    from asynqio.brokers.memory import MemoryBroker
    from asynqio.brokers.memory.settings import parse_options

    return MemoryBroker.named(parts.netloc + parts.path, clock=clock, **parse_options(parts.query))


def _sqlite(parts: SplitResult, clock: Clock | None) -> Store:
    from asynqio.brokers.sqlite import open_sqlite

    return open_sqlite(parts, clock)


def _redis(parts: SplitResult, clock: Clock | None) -> Store:
    try:
        from asynqio.brokers.redis import open_redis
    except ModuleNotFoundError as missing:
        raise ConfigError(
            [f"{parts.scheme}:// needs the package {missing.name!r}: pip install 'asynqio[redis]'"]
        ) from None
    return open_redis(parts.geturl(), clock)


def _remote(parts: SplitResult, clock: Clock | None) -> Store:
    try:
        from asynqio.brokers.remote import open_remote
    except ModuleNotFoundError as missing:
        raise ConfigError(
            [f"{parts.scheme}:// needs the package {missing.name!r}: pip install 'asynqio[remote]'"]
        ) from None
    return open_remote(parts, clock)


#: All schemes of Redis URLs, including those of Go asynq.
_REDIS = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "redis-socket",
    "redis-sentinel",
    "valkey",
    "valkeys",
)
_OPENERS: dict[str, Callable[[SplitResult, Clock | None], Store]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    **dict.fromkeys(_REDIS, _redis),
    "ws": _remote,
    "wss": _remote,
}


def _without_secrets(parts: SplitResult) -> str:
    """The URL without user and password, for messages."""
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl()
