"""Settings of a `sqlite://` URL: the file and its options."""

from __future__ import annotations

import math
import os
import sqlite3
from urllib.parse import SplitResult, parse_qsl, quote, unquote_to_bytes, urlencode

import msgspec

from asynqio.blocking import run_blocking
from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT, archive_age, archive_limit
from asynqio.errors import ConfigError

#: The first version with RETURNING (March 2021).
OLDEST_SQLITE = (3, 35, 0)
#: The empty tables take about 100 kB; a lower limit would refuse every task.
MIN_MAX_BYTES = 1_048_576


class Settings(msgspec.Struct, frozen=True):
    """One database file and the options of its URL."""

    path: str
    #: "normal": a commit survives the crash of any process; "full": also a power failure.
    synchronous: str = "normal"
    #: Seconds to wait for the lock while another process writes.
    busy_timeout: float = 10.0
    #: Size of the file in bytes above which new tasks are refused; 0: no limit.
    max_bytes: int = 0
    #: Archived tasks kept per queue, and for how many seconds.
    archive_limit: int = ARCHIVE_LIMIT
    archive_age: float = ARCHIVE_AGE

    @property
    def url(self) -> str:
        """The URL that opens the same file with the same options."""
        given = {
            field.name: getattr(self, field.name)
            for field in msgspec.structs.fields(self)
            if field.name != "path" and getattr(self, field.name) != field.default
        }
        return f"sqlite:///{quote(os.fsencode(self.path))}" + (f"?{urlencode(given)}" if given else "")

    async def absolute(self) -> Settings:
        """A copy with an absolute path: the working directory may change while the file is open."""
        if os.path.isabs(self.path):
            return self
        # Reading the working directory is a system call, so it runs in a thread.
        return msgspec.structs.replace(self, path=await run_blocking(os.path.abspath, self.path))


def parse(parts: SplitResult) -> Settings:
    """The settings of a URL. Raises ConfigError with everything that is wrong with it."""
    problems: list[str] = []
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        problems.append(
            f"SQLite {sqlite3.sqlite_version} is too old: asynqio needs 3.35 or later; "
            "use a Python build with a newer one"
        )
    path = _path(parts.path[1:], problems)
    if parts.netloc:
        problems.append(
            f"sqlite://{parts.netloc.rpartition('@')[2]}{parts.path}: write sqlite:///relative.db or "
            "sqlite:////absolute.db (three or four slashes)"
        )
    elif not path or path.startswith(":memory:"):
        problems.append(
            "a sqlite:// URL names a file: sqlite:///relative.db or sqlite:////absolute.db; "
            "for a broker without a file use memory://"
        )
    options: dict[str, object] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS:
            problems.append(
                f"sqlite:// has no option {name!r}: it takes {', '.join(_OPTIONS)}; "
                "a question mark in the path is written %3F"
            )
            continue
        convert, expected = _OPTIONS[name]
        try:
            options[name] = convert(value)
        except ValueError:
            problems.append(f"{name}={value!r}: give {expected}")
    if problems:
        raise ConfigError(problems)
    return msgspec.convert({"path": os.path.normpath(path), **options}, Settings)


def _path(quoted: str, problems: list[str]) -> str:
    """The path of a URL. A name may have any bytes, UTF-8 or not."""
    try:
        path = os.fsdecode(unquote_to_bytes(os.fsencode(quoted)))
    except UnicodeEncodeError:
        problems.append(
            f"{quoted!r} has a character that is not valid in a file name: write its bytes as %XX"
        )
        return quoted
    if "\0" in path:
        problems.append(f"{path!r}: the name of a file cannot contain the NUL character")
    return path


def _synchronous(value: str) -> str:
    if value.lower() not in ("normal", "full"):
        raise ValueError(value)
    return value.lower()


def _busy_timeout(value: str) -> float:
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(value)
    return seconds


def _max_bytes(value: str) -> int:
    size = int(value)
    if size != 0 and size < MIN_MAX_BYTES:
        raise ValueError(value)
    return size


_OPTIONS = {
    "synchronous": (_synchronous, "normal or full"),
    "busy_timeout": (_busy_timeout, "a number of seconds from 0 up"),
    "max_bytes": (_max_bytes, f"a whole number of bytes, at least {MIN_MAX_BYTES:,} (0: no limit)"),
    "archive_limit": (archive_limit, "a whole number of tasks from 1 up"),
    "archive_age": (archive_age, "a number of seconds from 1 up"),
}
