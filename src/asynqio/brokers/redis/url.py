"""Reading the URLs of Redis: ours, and those that the Go library takes.

What is wrong is said without repeating it, but for names: a password that is written badly can show up
wherever a parser looks (`redis://:pa/ss@host` has the port "pa").
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

from asynqio.brokers.contract.limits import archive_age, archive_limit
from asynqio.brokers.redis.settings import OPTIONS, Kind, RedisSettings
from asynqio.errors import ConfigError

PORT, SENTINEL_PORT = 6379, 26379
#: Scheme → kind, TLS, and whether it is Go's way of writing it.
SCHEMES: dict[str, tuple[Kind, bool, bool]] = {
    "redis": ("single", False, False),
    "rediss": ("single", True, False),
    "valkey": ("single", False, False),
    "valkeys": ("single", True, False),
    "redis+unix": ("unix", False, False),
    "redis-socket": ("unix", False, True),
    "redis+sentinel": ("sentinel", False, False),
    "rediss+sentinel": ("sentinel", True, False),
    "redis-sentinel": ("sentinel", False, True),
    "redis+cluster": ("cluster", False, False),
    "rediss+cluster": ("cluster", True, False),
}
_TLS = ("ca", "cert", "key", "verify")
#: Authority and query are optional; a program that took the URL apart may have dropped an empty authority.
_URL = re.compile(
    r"(?P<scheme>[^:]*):(?://(?P<authority>[^/?]*))?(?P<path>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL
)
_NODE = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>.*))?")


def read(url: str) -> RedisSettings:
    """See `settings.parse`."""
    found = _URL.fullmatch(url)
    scheme = found["scheme"].lower() if found else ""
    if found is None or scheme not in SCHEMES:
        raise ConfigError([f"a Redis URL begins with one of {', '.join(f'{name}://' for name in SCHEMES)}"])
    authority, path, query = (found[part] or "" for part in ("authority", "path", "query"))
    if "#" in url or "@" in path + query:
        raise ConfigError(
            [f"{scheme}:// URL: in a name or password write @ as %40, / as %2F, ? as %3F, # as %23, % as %25"]
        )
    return _Reading(scheme, *SCHEMES[scheme]).read(authority, path, query)


class _Reading:
    """One URL while it is read: what is known so far, and what is wrong with it."""

    def __init__(self, scheme: str, kind: Kind, tls: bool, go: bool) -> None:
        self.scheme, self.kind, self.tls, self.go = scheme, kind, tls, go
        self.problems: list[str] = []
        self.known: dict[str, Any] = {"kind": kind, "tls": tls}

    def wrong(self, what: str) -> None:
        self.problems.append(f"{self.scheme}:// URL: {what}")

    def read(self, authority: str, path: str, query: str) -> RedisSettings:
        login, _, place = authority.rpartition("@")
        self._login(login)
        if self.kind == "unix":
            self._socket(place, path)
        else:
            self._nodes(place)
            self._path(path)
        self._options(query)
        if self.kind == "sentinel" and not self.known.get("master"):
            self.wrong(
                "name the master: redis-sentinel://host:26379?master=name"
                if self.go
                else "name the master: redis+sentinel://host:26379/name"
            )
        if self.known.get("key") and not self.known.get("cert"):
            self.wrong("key= is of no use without cert=")
        if self.problems:
            raise ConfigError(self.problems)
        return RedisSettings(**self.known)

    def _login(self, login: str) -> None:
        name, _, password = login.partition(":")
        try:
            name, password = unquote(name, errors="strict"), unquote(password, errors="strict")
        except UnicodeDecodeError:
            self.wrong("user name and password must be UTF-8 (percent-encoded)")
            return
        # Go gives the password of a sentinel URL to the sentinels.
        of = "sentinel_" if self.go and self.kind == "sentinel" else ""
        self.known |= {f"{of}username": name, f"{of}password": password}

    def _socket(self, host: str, path: str) -> None:
        if host or len(path) < 2:
            self.wrong(
                f"give the absolute path of a socket, with three slashes: {self.scheme}:///run/redis.sock"
            )
        self.known["path"] = unquote(path)

    def _nodes(self, place: str) -> None:
        parts = place.split(",")
        if self.kind == "single" and len(parts) > 1:
            self.wrong("several servers? Write redis+sentinel:// or redis+cluster://")
        nodes = [self._node(part, number) for number, part in enumerate(parts, 1)]
        self.known["nodes"] = tuple(dict.fromkeys(nodes))

    def _node(self, part: str, number: int) -> tuple[str, int]:
        which = "" if self.kind == "single" else f" of server {number}"
        found = _NODE.fullmatch(part)
        host = unquote(found["v6"] or found["host"] or "") if found else ""
        port = (found and found["port"]) or str(SENTINEL_PORT if self.kind == "sentinel" else PORT)
        if not host or re.search(r"\s", host):
            self.wrong(f"give the host name{which}, IPv6 addresses in brackets: {self.scheme}://[::1]:6379")
        elif not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            self.wrong(f"the port{which} must be a number from 1 to 65535")
        else:
            return host, int(port)
        return host, PORT

    def _path(self, path: str) -> None:
        parts = [part for part in path.split("/") if part]
        if self.kind == "sentinel" and not self.go and parts:
            self.known["master"] = unquote(parts.pop(0))
        if self.kind == "cluster" and parts:
            self.wrong("a cluster has no numbered databases: leave out the path")
        elif len(parts) > 1:
            self.wrong("too many parts in the path: it holds only the number of the database")
        elif parts:
            self._db(parts[0])

    def _db(self, value: str) -> None:
        if not re.fullmatch(r"[0-9]{1,9}", value):
            self.wrong("the database must be a number from 0 up, as in redis://host:6379/2")
        elif self.known.setdefault("db", int(value)) != int(value):
            self.wrong("the path and db= name different databases")

    def _options(self, query: str) -> None:
        seen: set[str] = set()
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in seen:
                self.wrong(f"{_shown(name)} is given twice")
            elif name not in self._allowed():
                self._unknown(name)
            else:
                self._option(name, value)
            seen.add(name)

    def _allowed(self) -> list[str]:
        names = [name for name in OPTIONS if self.tls or name not in _TLS]
        if self.kind != "cluster":
            names.insert(0, "db")
        if self.kind == "sentinel":
            names += ["sentinel_username", "sentinel_password"]
            if self.go:
                names.insert(0, "master")
        return names

    def _unknown(self, name: str) -> None:
        known = self._allowed()
        near = difflib.get_close_matches(name.lower(), known, 1)
        if name in _TLS:
            self.wrong(f"{name}= is for TLS: write {self.scheme.replace('redis', 'rediss', 1)}://")
        elif name == "db":
            self.wrong("a cluster has no numbered databases: leave out db=")
        else:
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.wrong(f"there is no option {_shown(name)}{hint}: it takes {', '.join(known)}")

    def _option(self, name: str, value: str) -> None:
        if name == "db":
            self._db(value)
            return
        if name in _READERS:
            convert, wanted = _READERS[name]
            try:
                self.known[name] = convert(value)
            except ValueError:
                self.wrong(f"{name}= wants {wanted}")
        else:
            self.known[name] = value


def _shown(name: str) -> str:
    """A name, if it looks like one: else it may be part of a password."""
    return repr(name) if re.fullmatch(r"[A-Za-z_-]{1,30}", name) else "of this name"


def _seconds(least: float) -> Callable[[str], float]:
    def convert(value: str) -> float:
        seconds = float(value)
        if not least <= seconds < math.inf:
            raise ValueError
        return seconds

    return convert


def _verify(value: str) -> str:
    if value not in ("full", "ca", "none"):
        raise ValueError
    return value


def _client_name(value: str) -> str:
    # What CLIENT SETNAME takes.
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError
    return value


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "timeout": (_seconds(0.001), "a number of seconds above 0"),
    "connect_timeout": (_seconds(0.001), "a number of seconds above 0"),
    "patience": (_seconds(0.0), "a number of seconds from 0 up"),
    "archive_limit": (archive_limit, "a whole number of tasks from 1 up"),
    "archive_age": (archive_age, "a number of seconds from 1 up"),
    "verify": (_verify, "full, ca or none"),
    "client_name": (_client_name, "printable ASCII characters without spaces"),
}
