"""What a Redis URL says: which servers, who we are to them, and how patient we are."""

from __future__ import annotations

from typing import Literal, TypeAlias
from urllib.parse import quote, urlencode

import msgspec

from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT

Kind: TypeAlias = Literal["single", "unix", "sentinel", "cluster"]
Verify: TypeAlias = Literal["full", "ca", "none"]
#: Where a server listens: host and port, or the path of a unix socket.
Address: TypeAlias = tuple[str, int] | str

#: The fields that travel as options of the URL, in this order.
OPTIONS = (
    "timeout",
    "connect_timeout",
    "patience",
    "client_name",
    "archive_limit",
    "archive_age",
    "ca",
    "cert",
    "key",
    "verify",
)
SECRETS = ("password", "sentinel_password")


class RedisSettings(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """One Redis: a server, a set of servers under sentinels, or a cluster. `str` and `repr` hold no secrets."""

    kind: Kind
    #: The server, the sentinels, or some nodes of the cluster; empty for a unix socket.
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = ""
    #: The name that the sentinels know the master by.
    master: str = ""
    sentinel_username: str = ""
    sentinel_password: str = ""
    tls: bool = False
    #: Files: who vouches for the server, and who we are to it.
    ca: str = ""
    cert: str = ""
    key: str = ""
    #: "full": the certificate and its host name, "ca": the certificate only, "none": neither.
    verify: Verify = "full"
    #: Seconds that an answer may take before the connection counts as dead.
    timeout: float = 5.0
    #: Seconds to get a connection, including TLS and log-in.
    connect_timeout: float = 5.0
    #: Seconds that a call waits for a connection to come back.
    patience: float = 5.0
    client_name: str = "asynqio"
    #: Archived tasks kept per queue, and for how many seconds.
    archive_limit: int = ARCHIVE_LIMIT
    archive_age: float = ARCHIVE_AGE

    @property
    def url(self) -> str:
        """The URL without secrets. It opens the same place where no password is asked for."""
        bare = dict.fromkeys(SECRETS, "")
        return msgspec.structs.replace(self, **bare).private_url

    @property
    def private_url(self) -> str:
        """The URL with everything: `parse` makes the same settings of it."""
        start = "rediss" if self.tls else "redis"
        scheme = start if self.kind == "single" else f"{start}+{self.kind}"
        login = quote(self.username, safe="")
        if self.password:
            login += f":{quote(self.password, safe='')}"
        place = quote(self.path) if self.kind == "unix" else ",".join(map(written, self.nodes))
        options: dict[str, object] = {}
        if self.kind == "sentinel":
            place += f"/{quote(self.master, safe='')}"
        if self.db and self.kind == "unix":
            options["db"] = self.db
        elif self.db:
            place += f"/{self.db}"
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.name in (*OPTIONS, "sentinel_username", "sentinel_password") and value != field.default:
                options[field.name] = value
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        return f"{scheme}://{login + '@' if login else ''}{place}{query}"

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return self.path or ",".join(map(written, self.nodes))

    def __repr__(self) -> str:
        return f"RedisSettings({self.url!r})"

    __str__ = __repr__


def written(address: Address) -> str:
    """An address as one writes it: IPv6 in brackets."""
    if isinstance(address, str):
        return address
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(url: str) -> RedisSettings:
    """The settings of a URL. Raises ConfigError with everything that is wrong with it, and without secrets."""
    from asynqio.brokers.redis.url import read  # which needs the class above

    return read(url)
