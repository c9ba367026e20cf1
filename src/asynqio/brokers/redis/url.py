"""Parse Redis URLs: ours, and those that Go asynq accepts.

Error messages repeat names but no values: an unescaped password can end up in any part of a URL
(`redis://:pa/ss@host` has the port "pa").
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
#: Scheme → kind, TLS, and whether it is Go's notation.
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
#: Authority and query are optional; a program that parsed the URL may have dropped an empty authority.
_URL = re.compile(
    r"(?P<scheme>[^:]*):(?://(?P<authority>[^/?]*))?(?P<path>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL
)
_NODE = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>.*))?")


def parse(url: str) -> RedisSettings:
    """Parse a Redis URL. Raises ConfigError, which lists all problems and contains no secrets."""
    match = _URL.fullmatch(url)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in SCHEMES:
        raise ConfigError([f"a Redis URL begins with one of {', '.join(f'{name}://' for name in SCHEMES)}"])
    authority, path, query = (match[part] or "" for part in ("authority", "path", "query"))
    if "#" in url or "@" in path + query:
        raise ConfigError(
            [f"{scheme}:// URL: in a name or password write @ as %40, / as %2F, ? as %3F, # as %23, % as %25"]
        )
    return _Parser(scheme, *SCHEMES[scheme]).parse(authority, path, query)


class _Parser:
    """Collects the settings of one URL, and its problems."""

    def __init__(self, scheme: str, kind: Kind, tls: bool, go: bool) -> None:
        self.scheme, self.kind, self.tls, self.go = scheme, kind, tls, go
        self.problems: list[str] = []
        self.fields: dict[str, Any] = {"kind": kind, "tls": tls}

    def problem(self, what: str) -> None:
        self.problems.append(f"{self.scheme}:// URL: {what}")

    def parse(self, authority: str, path: str, query: str) -> RedisSettings:
        login, _, hosts = authority.rpartition("@")
        self._login(login)
        if self.kind == "unix":
            self._socket(hosts, path)
        else:
            self._nodes(hosts)
            self._path(path)
        self._options(query)
        if self.kind == "sentinel" and not self.fields.get("master"):
            self.problem(
                "name the master: redis-sentinel://host:26379?master=name"
                if self.go
                else "name the master: redis+sentinel://host:26379/name"
            )
        if self.fields.get("password") and self.fields.get("password_file"):
            self.problem("give the password, or password_file=, not both")
        if self.fields.get("key") and not self.fields.get("cert"):
            self.problem("key= requires cert=")
        if self.problems:
            raise ConfigError(self.problems)
        return RedisSettings(**self.fields)

    def _login(self, login: str) -> None:
        name, _, password = login.partition(":")
        try:
            name, password = unquote(name, errors="strict"), unquote(password, errors="strict")
        except UnicodeDecodeError:
            self.problem("user name and password must be UTF-8 (percent-encoded)")
            return
        # In Go's notation the password of a sentinel URL is that of the sentinels.
        prefix = "sentinel_" if self.go and self.kind == "sentinel" else ""
        self.fields |= {f"{prefix}username": name, f"{prefix}password": password}

    def _socket(self, host: str, path: str) -> None:
        if host or len(path) < 2:
            self.problem(
                f"give the absolute path of a socket, with three slashes: {self.scheme}:///run/redis.sock"
            )
        self.fields["path"] = unquote(path)

    def _nodes(self, hosts: str) -> None:
        parts = hosts.split(",")
        if self.kind == "single" and len(parts) > 1:
            self.problem("for several servers write redis+sentinel:// or redis+cluster://")
        nodes = [self._node(part, number) for number, part in enumerate(parts, 1)]
        self.fields["nodes"] = tuple(dict.fromkeys(nodes))

    def _node(self, part: str, number: int) -> tuple[str, int]:
        which = "" if self.kind == "single" else f" of server {number}"
        match = _NODE.fullmatch(part)
        host = unquote(match["v6"] or match["host"] or "") if match else ""
        port = (match and match["port"]) or str(SENTINEL_PORT if self.kind == "sentinel" else PORT)
        if not host or re.search(r"\s", host):
            self.problem(f"give the host name{which}, IPv6 addresses in brackets: {self.scheme}://[::1]:6379")
        elif not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            self.problem(f"the port{which} must be a number from 1 to 65535")
        else:
            return host, int(port)
        return host, PORT

    def _path(self, path: str) -> None:
        parts = [part for part in path.split("/") if part]
        if self.kind == "sentinel" and not self.go and parts:
            self.fields["master"] = unquote(parts.pop(0))
        if self.kind == "cluster" and parts:
            self.problem("a cluster has no numbered databases: leave out the path")
        elif len(parts) > 1:
            self.problem("too many parts in the path: it may contain only the database number")
        elif parts:
            self._db(parts[0])

    def _db(self, value: str) -> None:
        if not re.fullmatch(r"[0-9]{1,9}", value):
            self.problem("the database must be a number from 0 up, as in redis://host:6379/2")
        elif self.fields.setdefault("db", int(value)) != int(value):
            self.problem("the path and db= name different databases")

    def _options(self, query: str) -> None:
        seen: set[str] = set()
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in seen:
                self.problem(f"{_safe_name(name)} is given twice")
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
        allowed = self._allowed()
        near = difflib.get_close_matches(name.lower(), allowed, 1)
        if name in _TLS:
            self.problem(f"{name}= requires TLS: write {self.scheme.replace('redis', 'rediss', 1)}://")
        elif name == "db":
            self.problem("a cluster has no numbered databases: leave out db=")
        else:
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.problem(f"unknown option {_safe_name(name)}{hint}: valid options are {', '.join(allowed)}")

    def _option(self, name: str, value: str) -> None:
        if name == "db":
            self._db(value)
            return
        if name in _READERS:
            convert, wanted = _READERS[name]
            try:
                self.fields[name] = convert(value)
            except ValueError:
                self.problem(f"{name}= must be {wanted}")
        else:
            self.fields[name] = value


def _safe_name(name: str) -> str:
    """The name if it looks like one; otherwise it may be part of a password."""
    return repr(name) if re.fullmatch(r"[A-Za-z_-]{1,30}", name) else "of this name"


def _seconds(minimum: float) -> Callable[[str], float]:
    def convert(value: str) -> float:
        seconds = float(value)
        if not minimum <= seconds < math.inf:
            raise ValueError
        return seconds

    return convert


def _verify(value: str) -> str:
    if value not in ("full", "ca", "none"):
        raise ValueError
    return value


def _client_name(value: str) -> str:
    # What CLIENT SETNAME accepts.
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
