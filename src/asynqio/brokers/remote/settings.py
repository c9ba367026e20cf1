"""The settings in a `ws://` or `wss://` URL: the gateway, credentials, TLS, time limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode

import msgspec

from asynqio.errors import ConfigError

#: The path of the WebSocket, if the URL has none.
PATH = "/ws"
_PORTS = {"ws": 80, "wss": 443}


class RemoteSettings(msgspec.Struct, frozen=True):
    """A gateway and how to reach it. `str` and `repr` contain no secrets."""

    host: str
    port: int
    path: str = PATH
    tls: bool = False
    username: str = ""
    password: str = ""
    token: str = ""
    #: Seconds without any sign of life after which the connection counts as dead.
    timeout: float = 5.0
    #: Seconds that the gateway may take to answer one call.
    call_timeout: float = 60.0
    #: Seconds to connect, including TLS and authentication.
    connect_timeout: float = 5.0
    #: Seconds that a call waits for a lost connection to be re-established.
    patience: float = 5.0
    #: Paths of PEM files: the certificate authority, the client certificate and its key.
    ca: str = ""
    cert: str = ""
    key: str = ""
    #: "full" checks the certificate and its host name, "ca" the certificate only, "none" nothing.
    verify: str = "full"

    @property
    def url(self) -> str:
        """The URL without secrets."""
        return msgspec.structs.replace(self, username="", password="", token="").private_url

    @property
    def private_url(self) -> str:
        """The complete URL: `parse` returns the same settings."""
        login = quote(self.username, safe="")
        if self.password:
            login += f":{quote(self.password, safe='')}"
        options = {
            name: value for name in ("token", *_OPTIONS) if (value := getattr(self, name)) != _DEFAULTS[name]
        }
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        path = quote(self.path) if self.path != PATH else ""
        return f"{'wss' if self.tls else 'ws'}://{login + '@' if login else ''}{self.location}{path}{query}"

    @property
    def location(self) -> str:
        """Host and port, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __repr__(self) -> str:
        return f"RemoteSettings({self.url!r})"

    __str__ = __repr__


_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(RemoteSettings)}


def _seconds(value: str) -> float:
    seconds = float(value)
    if not 0 < seconds < float("inf"):
        raise ValueError(value)
    return seconds


def _verify(value: str) -> str:
    if value not in ("full", "ca", "none"):
        raise ValueError(value)
    return value


_SECONDS: tuple[Callable[[str], Any], str] = (_seconds, "a number of seconds above 0")
_OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "timeout": _SECONDS,
    "call_timeout": _SECONDS,
    "connect_timeout": _SECONDS,
    "patience": _SECONDS,
    "ca": (str, "the path of a file"),
    "cert": (str, "the path of a file"),
    "key": (str, "the path of a file"),
    "verify": (_verify, "full, ca or none"),
}


def parse(parts: SplitResult) -> RemoteSettings:
    """The settings of a URL. Raises ConfigError, which lists all problems and contains no secrets."""
    problems: list[str] = []

    def problem(what: str) -> None:
        problems.append(f"{parts.scheme}:// URL: {what}")

    fields: dict[str, Any] = {"tls": parts.scheme == "wss", "path": unquote(parts.path)}
    if parts.path in ("", "/"):
        fields["path"] = PATH
    if parts.fragment:
        problem("write # as %23")
    if not parts.hostname:
        problem("name the host: ws://127.0.0.1:8080")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:
        problem("the port is not a number from 1 to 65535; write / ? # @ in a password as %2F %3F %23 %40")
        port = 0
    login, _, _ = parts.netloc.rpartition("@")
    name, _, password = login.partition(":")
    fields |= {"username": unquote(name), "password": unquote(password)}
    if ":" in fields["username"]:
        problem("a user name cannot contain a colon")
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option == "token":
            fields["token"] = value
        elif option in ("archive_limit", "archive_age"):
            problem(f"{option} belongs to the broker URL of the gateway")
        elif option not in _OPTIONS:
            problem(f"no option {option!r}: it takes token, {', '.join(_OPTIONS)}")
        else:
            convert, expected = _OPTIONS[option]
            try:
                fields[option] = convert(value)
            except ValueError:
                problem(f"{option}: give {expected}")
    if fields.get("token") and login:
        problem("give a user and password, or token=, not both")
    if not (fields.get("token", "") + fields["username"] + fields["password"]).isprintable():
        problem("user, password and token cannot contain control characters")
    if not fields.get("token", "").isascii():
        problem("a token has only ASCII characters")
    if fields.get("key") and not fields.get("cert"):
        problem("key= requires cert=")
    if problems:
        raise ConfigError(problems)
    return RemoteSettings(parts.hostname or "", port, **fields)
