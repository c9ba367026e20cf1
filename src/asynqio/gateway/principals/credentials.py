"""Credentials as they arrive: the Authorization header, and pairs of settings."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import ClassVar

from asynqio.errors import AuthenticationFailed, ConfigError
from asynqio.gateway.principals.hidden_fields import HiddenFields
from asynqio.gateway.principals.passwords import password_problem
from asynqio.gateway.principals.tenant import username_problem

#: The headers of a request as ASGI has them: lower-case names, bytes.
Headers = Sequence[tuple[bytes, bytes]]
#: The value of WWW-Authenticate in an answer with status 401.
CHALLENGE = 'Basic realm="asynqio"'


class Basic(HiddenFields, frozen=True):
    """A user name and a password."""

    SHOWN: ClassVar[tuple[str, ...]] = ("username",)

    username: str
    password: str


class Bearer(HiddenFields, frozen=True):
    """A token."""

    token: str


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    """The values of a header, one per line."""
    return [value for key, value in headers if key.lower() == name]


def credentials_of(headers: Headers) -> Basic | Bearer | None:
    """The credentials of a request; None without an Authorization header. Raises AuthenticationFailed."""
    values = values_of(headers, b"authorization")
    if not values:
        return None
    if len(values) > 1:
        raise AuthenticationFailed("the request has several Authorization headers: send one")
    scheme, _, rest = values[0].partition(b" ")
    match scheme.lower():
        case b"basic":
            return _basic(rest.strip(b" "))
        case b"bearer":
            return Bearer(rest.strip(b" ").decode("latin-1"))
        case _:
            raise AuthenticationFailed("the Authorization header must be Basic or Bearer")


def _basic(encoded: bytes) -> Basic:
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        username = colon = password = ""
    if not colon:
        raise AuthenticationFailed(
            "the Authorization header is not Basic with base64 of user:password in UTF-8"
        )
    return Basic(username, password)


def check_pair(
    username_setting: str, username: str | None, password_setting: str, password: str | None
) -> Basic | None:
    """The user name and password of two settings; None if neither is set. Raises ConfigError for half a pair, and for
    empty or invalid values: a setting that is lost must not switch authentication off."""
    if username is None and password is None:
        return None
    problems = []
    for name, value, other in (
        (username_setting, username, password_setting),
        (password_setting, password, username_setting),
    ):
        if value is None:
            problems.append(f"{other} is set, but {name} is not: set both or neither")
    if username is not None and (problem := username_problem(username)):
        problems.append(f"{username_setting} {problem}")
    if password is not None and (problem := password_problem(password)):
        problems.append(f"{password_setting} {problem}")
    if username is None or password is None or problems:
        raise ConfigError(problems)
    return Basic(username, password)
