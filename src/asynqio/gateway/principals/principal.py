"""The one who makes a request, once it is authenticated."""

from __future__ import annotations

import enum

import msgspec

from asynqio.core.access.actions import MANAGEMENT, Action
from asynqio.core.access.grants import Access, Grant
from asynqio.core.access.scope import Scope

#: Everything except managing the gateway.
TASK_ACCESS = Access([Grant(frozenset(Action) - MANAGEMENT)])


class Kind(enum.StrEnum):
    """How a principal is known to the gateway."""

    #: Without credentials.
    ANONYMOUS = "anonymous"
    #: By the one user name and password of a gateway without tenants.
    USER = "user"
    TENANT = "tenant"
    TOKEN = "token"
    #: By the administrator's user name and password, or token.
    ADMIN = "admin"


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Quotas of a tenant. None: no limit. Raises ValueError for a negative one."""

    #: Most waiting tasks in each queue.
    queue_length: int | None = None
    #: Most bytes of a payload.
    payload_bytes: int | None = None
    #: Most tasks enqueued per second.
    enqueue_rate: float | None = None
    #: Most open connections.
    connections: int | None = None
    #: Most tasks that its workers hold at a time.
    in_flight: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            limit = getattr(self, name)
            if limit is not None and not 0 <= limit < float("inf"):
                raise ValueError(f"{name} must be a number of at least 0")


NO_LIMITS = Limits()


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a request, and what they may do. Contains no secret."""

    name: str
    kind: Kind
    access: Access
    scope: Scope = Scope()
    limits: Limits = NO_LIMITS
    #: The id of the tenant that the principal belongs to; empty: none.
    tenant: str = ""
    #: The id of the API token; empty: none.
    token: str = ""
    #: Which credential was used, to notice when it is no longer valid.
    credential: str = ""

    @property
    def identity(self) -> str:
        """Tells principals apart: two tokens can have the same name, and that of a user."""
        return f"{self.kind}:{self.tenant}:{self.token or self.name}"
