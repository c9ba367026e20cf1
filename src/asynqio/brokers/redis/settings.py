"""The settings that a Redis URL holds: servers, credentials, TLS, timeouts."""

from __future__ import annotations

from typing import Literal, TypeAlias
from urllib.parse import quote, urlencode

import msgspec

from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT

Kind: TypeAlias = Literal["single", "unix", "sentinel", "cluster"]
Verify: TypeAlias = Literal["full", "ca", "none"]
#: Host and port, or the path of a unix socket.
Address: TypeAlias = tuple[str, int] | str

#: The fields that the URL holds as query options, in this order.
OPTIONS = (
    "timeout",
    "connect_timeout",
    "patience",
    "client_name",
    "password_file",
    "archive_limit",
    "archive_age",
    "ca",
    "cert",
    "key",
    "verify",
)
SECRETS = ("password", "sentinel_password")


class RedisSettings(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A single server, a master monitored by sentinels, or a cluster. `str` and `repr` contain no secrets."""

    kind: Kind
    #: The server, the sentinels, or seed nodes of the cluster; empty for a unix socket.
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = ""
    #: A file with the password, read before each connect: the password can be changed while programs run.
    password_file: str = ""
    #: The name under which the sentinels monitor the master.
    master: str = ""
    sentinel_username: str = ""
    sentinel_password: str = ""
    tls: bool = False
    #: Paths of PEM files: the certificate authority, the client certificate and its key.
    ca: str = ""
    cert: str = ""
    key: str = ""
    #: "full" checks the certificate, its host name and, from Python 3.13, its form (RFC 5280); "ca" the certificate
    #: only, "none" nothing.
    verify: Verify = "full"
    #: Seconds to wait for a reply before the connection counts as dead.
    timeout: float = 5.0
    #: Seconds to connect, including TLS and authentication.
    connect_timeout: float = 5.0
    #: Seconds that a call waits for a lost connection to be re-established.
    patience: float = 5.0
    client_name: str = "asynqio"
    #: How many archived tasks to keep per queue, and for how many seconds.
    archive_limit: int = ARCHIVE_LIMIT
    archive_age: float = ARCHIVE_AGE

    @property
    def url(self) -> str:
        """The URL without secrets. It opens the same Redis if that requires no password."""
        bare = dict.fromkeys(SECRETS, "")
        return msgspec.structs.replace(self, **bare).private_url

    @property
    def private_url(self) -> str:
        """The complete URL: `url.parse` returns the same settings."""
        base = "rediss" if self.tls else "redis"
        scheme = base if self.kind == "single" else f"{base}+{self.kind}"
        login = quote(self.username, safe="")
        if self.password:
            login += f":{quote(self.password, safe='')}"
        location = quote(self.path) if self.kind == "unix" else ",".join(map(format_address, self.nodes))
        options: dict[str, object] = {}
        if self.kind == "sentinel":
            location += f"/{quote(self.master, safe='')}"
        if self.db and self.kind == "unix":
            options["db"] = self.db
        elif self.db:
            location += f"/{self.db}"
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.name in (*OPTIONS, "sentinel_username", "sentinel_password") and value != field.default:
                options[field.name] = value
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        return f"{scheme}://{login + '@' if login else ''}{location}{query}"

    @property
    def location(self) -> str:
        """The addresses, for messages."""
        return self.path or ",".join(map(format_address, self.nodes))

    def __repr__(self) -> str:
        return f"RedisSettings({self.url!r})"

    __str__ = __repr__


def format_address(address: Address) -> str:
    """`host:port`, with IPv6 addresses in brackets, or the path of a unix socket."""
    if isinstance(address, str):
        return address
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
