"""The settings of a gateway, and their environment variables."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD
from asynqio.errors import ConfigError
from asynqio.gateway.principals.authenticate import AuthSettings
from asynqio.gateway.principals.credentials import Basic, Bearer, check_pair
from asynqio.gateway.principals.tenant_file import load_tenant_file

DEFAULT_BROKER = "memory://"
DEFAULT_ADDRESS = "127.0.0.1:8080"
#: The names of this machine.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Address(NamedTuple):
    """Where the gateway listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Durations are seconds, sizes are bytes."""

    #: Where the gateway listens: `host:port`, `[::1]:8080`.
    address: Address = Address("127.0.0.1", 8080)
    #: The files of the TLS certificate (with its chain) and its key.
    tls_cert: str = ""
    tls_key: str = ""
    #: The one user of a gateway without tenants.
    user: Basic | None = None
    #: The file of the tenants; it may list none.
    tenant_config: str = ""
    #: The administrator: user name and password, or a token.
    admin: Basic | None = None
    admin_token: Bearer | None = None
    #: Serve every client although no authentication is configured.
    insecure_no_auth: bool = False
    #: Whether `address` is where the gateway itself listens: it is a process of its own, not a part of another
    #: application. Then no authentication is needed as long as only this machine reaches it.
    standalone: bool = False
    #: The names that requests may give in their Host header; None: any. Protects against DNS rebinding.
    allowed_hosts: tuple[str, ...] | None = None
    #: Proxies whose forwarding headers count: addresses and networks.
    trusted_proxies: tuple[str, ...] = ()
    #: Lease of the tasks that clients of the asynq-server protocol hold.
    lease: float = 30.0
    max_payload: int = DEFAULT_MAX_PAYLOAD
    #: Largest message on a WebSocket, and largest body of a request.
    max_message: int = 16 * 1_048_576
    #: Seconds between two pings on a WebSocket, and to wait for the answer.
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    #: Seconds that requests get to finish when the gateway stops.
    shutdown_timeout: float = 10.0

    @property
    def has_authentication(self) -> bool:
        """Whether clients need credentials."""
        return self.user is not None or bool(self.tenant_config)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the gateway."""
        return self.standalone and self.address.is_loopback and not self.trusted_proxies

    def check(self) -> None:
        """Raise ConfigError if anyone could use the gateway."""
        if not (self.has_authentication or self.insecure_no_auth or self.is_local):
            place = str(self.address) if self.standalone else "the application that serves the gateway"
            advice = (
                "configure a user (ASYNQ_USERNAME and ASYNQ_PASSWORD) or tenants (--tenant-config), "
                "or accept the risk with --insecure-no-auth"
            )
            raise ConfigError(
                [f"{place} may be reached from other machines and no authentication is configured: {advice}"]
            )

    def authentication(self) -> AuthSettings:
        """How requests are authenticated. Reads the tenant file: blocks. Raises ConfigError."""
        return AuthSettings(
            user=self.user,
            tenants=load_tenant_file(self.tenant_config) if self.tenant_config else None,
            admin=self.admin,
            admin_token=self.admin_token,
            loopback_only=self.is_local,
        )


def parse_address(text: str) -> Address:
    """`host:port`; IPv6 addresses in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not host:port, such as 127.0.0.1:8080 or [::1]:8080")
    return Address(host, int(port))


def load_settings(
    arguments: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> GatewaySettings:
    """The settings of the arguments, else of the environment, else the defaults. Raises ConfigError with every
    problem.

    Passwords come from the environment only: arguments are visible to other users of the machine."""
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    given = {name: value for name, value in arguments.items() if value is not None}
    address = str(given.pop("address", "") or environ.get("ASYNQ_SERVER_ADDR", "") or DEFAULT_ADDRESS)
    try:
        parsed = parse_address(address)
    except ValueError as error:
        problems.append(f"address: {error}")
        parsed = Address("127.0.0.1", 0)
    if "tenant_config" not in given and environ.get("ASYNQ_TENANT_CONFIG"):
        given["tenant_config"] = environ["ASYNQ_TENANT_CONFIG"]
    found: dict[str, object] = {}
    for name, user, password in (
        ("user", "ASYNQ_USERNAME", "ASYNQ_PASSWORD"),
        ("admin", "ASYNQIO_ADMIN_USERNAME", "ASYNQIO_ADMIN_PASSWORD"),
    ):
        try:
            found[name] = check_pair(user, environ.get(user), password, environ.get(password))
        except ConfigError as error:
            problems += error.problems
    token = environ.get("ASYNQIO_ADMIN_TOKEN")
    if token is not None:
        found["admin_token"] = Bearer(token)
    if found.get("user") is not None and given.get("tenant_config"):
        problems.append(
            "ASYNQ_USERNAME and a tenant file exclude each other: add the user to the tenant file"
        )
    if bool(given.get("tls_cert")) != bool(given.get("tls_key")):
        problems.append("--tls-cert and --tls-key belong together")
    settings = GatewaySettings(
        address=parsed,
        standalone=True,
        allowed_hosts=LOOPBACK_NAMES if parsed.is_loopback else None,
        **given,  # type: ignore[arg-type]
        **found,  # type: ignore[arg-type]
    )
    try:
        settings.check()
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return settings
