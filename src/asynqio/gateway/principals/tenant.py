"""A tenant: its credentials, its part of the store, its limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from asynqio.core.access.scope import Scope, prefix_problem
from asynqio.gateway.principals.hidden_fields import HiddenFields
from asynqio.gateway.principals.passwords import password_problem
from asynqio.gateway.principals.principal import NO_LIMITS, TASK_ACCESS, Kind, Limits, Principal

#: Most characters of an id and of a user name.
MAX_ID, MAX_USERNAME = 64, 128


class Tenant(HiddenFields, frozen=True, kw_only=True, omit_defaults=True):
    """A tenant as it is stored: with hashes, never with a password."""

    SHOWN: ClassVar[tuple[str, ...]] = ("id", "username", "queue_prefix", "limits")

    id: str
    username: str
    password_hash: str
    queue_prefix: str
    limits: Limits = NO_LIMITS
    #: Increases with each new password.
    password_number: int = 1
    #: The password before, and until when it is valid, in epoch seconds.
    old_password_hash: str = ""
    old_password_until: float = 0.0
    #: Tells a tenant from a removed one of the same id; empty for those of the tenant file.
    instance: str = ""
    #: In epoch seconds; 0: from the tenant file.
    created: float = 0.0

    def __post_init__(self) -> None:
        if problem := prefix_problem(self.queue_prefix):  # an empty one would be the whole store
            raise ValueError(f"queue_prefix {problem}")

    def passwords(self, now: float) -> Iterator[tuple[int, str]]:
        """The numbers and hashes of the passwords that are valid now."""
        yield self.password_number, self.password_hash
        if self.old_password_hash and now < self.old_password_until:
            yield self.password_number - 1, self.old_password_hash

    def principal(self, password_number: int) -> Principal:
        """The tenant, after it has authenticated with this password."""
        return Principal(
            name=self.username,
            kind=Kind.TENANT,
            access=TASK_ACCESS,
            scope=Scope(self.queue_prefix),
            limits=self.limits,
            tenant=self.id,
            credential=f"{self.instance}:{password_number}",
        )


def username_problem(username: str) -> str:
    """Why this is no valid user name; empty if it is one."""
    if not username.strip():
        return "must not be empty"
    if len(username) > MAX_USERNAME:
        return f"has {len(username)} characters, at most {MAX_USERNAME} are allowed"
    if ":" in username:
        return "must not contain a colon: Basic authentication ends the user name at the first one"
    if not username.isprintable():
        return "must not contain control characters"
    return ""


def id_problem(id: str) -> str:
    """Why this is no valid id; empty if it is one."""
    if not id.strip():
        return "must not be empty"
    if len(id) > MAX_ID:
        return f"has {len(id)} characters, at most {MAX_ID} are allowed"
    if not id.isprintable():
        return "must not contain control characters"
    return ""


def tenant_problems(id: str, username: str, password: str | None, queue_prefix: str | None) -> Iterator[str]:
    """Everything that is wrong with a new tenant; each text begins with the name of the field."""
    if problem := id_problem(id):
        yield f"id {problem}"
    if problem := username_problem(username):
        yield f"username {problem}"
    if password is not None and (problem := password_problem(password)):
        yield f"password {problem}"
    if queue_prefix is not None:
        if problem := prefix_problem(queue_prefix):
            yield f"queue_prefix {problem}"
    elif id.strip() and (problem := prefix_problem(id)):
        yield f"id is the queue prefix, since queue_prefix is not given, and as such it {problem}"
