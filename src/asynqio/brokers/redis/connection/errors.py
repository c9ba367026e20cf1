"""Errors of Redis and its connections as exceptions of asynqio; no driver exception is raised to callers."""

from __future__ import annotations

import re

from asynqio.brokers.contract.connecting import reason as reason
from asynqio.errors import BrokerError, BrokerRefused, BrokerUnavailable, CannotStore, StorageFull


class RedisError(BrokerRefused):
    """An error reply for which `translate` has no other class: credentials, permissions, a quota, or unknown.

    `code` is its first word ("WRONGTYPE", "NOSCRIPT", "MOVED"), `text` the complete reply."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Redis replied: {text}")
        self.text = text
        self.code = text.partition(" ")[0]


class ReplyLost(BrokerUnavailable):
    """The command was sent, but its reply was lost: it may or may not have been executed."""


class BecameReplica(BrokerUnavailable):
    """The server has become a replica: another server is master by now, or soon."""


class Reconfiguring(BrokerUnavailable):
    """The cluster is migrating slots or electing a master; the same command succeeds a moment later."""

    def __init__(self, text: str) -> None:
        super().__init__(f"the Redis cluster cannot serve this now ({text}): retry")
        self.text = text


#: Before version 7, an error inside a script is wrapped in an error of the script.
_WRAPPED = re.compile(
    r"^ERR Error (?:running|compiling) script.*@user_script: ?\d+: -?([A-Z]+ .*)$", re.DOTALL
)


def translate(text: str) -> BrokerError:
    """The exception for an error reply."""
    if found := _WRAPPED.match(text):
        text = found[1]
    match text.partition(" ")[0]:
        case "OOM":
            return StorageFull(
                "Redis has reached maxmemory and rejects writes: nothing was changed. Raise maxmemory, or delete "
                "archived and completed tasks"
            )
        case "READONLY":
            return BecameReplica("this Redis server is a replica and rejects writes: connect to the master")
        case "TRYAGAIN" | "CLUSTERDOWN":
            return Reconfiguring(text)
        case "LOADING":
            return BrokerUnavailable("Redis is loading its data from disk: retry")
        case "MASTERDOWN":
            return BrokerUnavailable("this Redis server is a replica that has lost its master: retry")
        case "MISCONF":
            return BrokerUnavailable(
                "Redis cannot save its data and rejects writes: check its log and its disk space"
            )
        case "NOREPLICAS":
            return BrokerUnavailable(
                "Redis has fewer replicas than min-replicas-to-write, and rejects writes"
            )
        case "BUSY":
            return BrokerUnavailable("Redis is blocked by a long-running script: SCRIPT KILL stops it")
    if text.startswith("ERR max number of clients"):
        return BrokerUnavailable(
            "Redis has reached maxclients: raise it, or close idle clients (CLIENT LIST shows them)"
        )
    if "exceeds maximum allowed size" in text:
        return CannotStore("Redis rejects the value: it is larger than proto-max-bulk-len")
    return RedisError(text)


class NoPush(BrokerRefused):
    """The server does not have, or the user may not use, the protocol that push messages need (RESP3)."""


#: How servers, proxies and providers say that they do not have a command, or do not let this user use it.
_NO_COMMAND = re.compile(
    r"^NOPERM |unknown (?:sub)?command|unsupported command|command.* (?:is )?(?:not|un)[ -]?"
    r"(?:available|allowed|supported|permitted|enabled|implemented)|command.* (?:is )?(?:disabled|forbidden|blocked)",
    re.IGNORECASE,
)


def is_missing_command(error: BrokerError) -> bool:
    """Whether the server has no such command, or the user may not use it: the caller does without."""
    return isinstance(error, RedisError) and _NO_COMMAND.search(error.text) is not None


def unreachable(where: str, why: str, patience: float) -> BrokerUnavailable:
    """The connection was not established while a call waited for it."""
    return BrokerUnavailable(
        f"Redis at {where} cannot be reached for {patience:g} s ({why}): check that it is running and that the URL "
        "is correct; this call was not sent"
    )


def untrusted(where: str, why: str, *, strict: bool) -> BrokerError:
    """The certificate of the server is not valid. `strict`: its form was checked too, as Python 3.13 does."""
    return BrokerError(
        f"the certificate of Redis at {where} is not trusted ({why}): give the authority with ca=/path/ca.pem, or "
        + (
            "check neither the host name nor the extensions that Python 3.13 requires"
            if strict
            else "loosen it"
        )
        + " with verify=ca, or nothing with verify=none"
    )


def closed(where: str, why: str) -> BrokerUnavailable:
    """A call used a connection that was closed already."""
    return BrokerUnavailable(f"the connection to Redis at {where} is closed ({why}): this call was not sent")


def lost(where: str, why: str) -> ReplyLost:
    """The connection broke between command and reply."""
    return ReplyLost(
        f"lost the connection to Redis at {where} ({why}) before the reply: the command may or may not have run"
    )


def not_open(where: str) -> BrokerUnavailable:
    """The broker was called before it was entered, or after it was left."""
    return BrokerUnavailable(f"Redis at {where} is not open: use the broker in `async with broker: ...`")


#: Error code → advice. The server's own text is not repeated, because it may contain the credentials.
_REFUSALS = {
    "WRONGPASS": "the user name or password is wrong: correct them in the URL",
    "NOAUTH": "a password is required: write redis://:password@host or redis://user:password@host",
    "NOPERM": "the user lacks permissions: grant the commands and keys (ACL SETUSER)",
    "DENIED": "the server is in protected mode and accepts local clients only: set a password there (requirepass)",
}


def refused(where: str, error: RedisError, step: str) -> BrokerRefused:
    """The server accepted the connection, but refused a command of its setup."""
    advice = _REFUSALS.get(error.code)
    if advice is None and step == "AUTH":
        advice = (
            "the user name or password is wrong: omit both if the server requires none, and the user name if it is "
            "older than Redis 6"
        )
    if advice is None and step == "SELECT":
        advice = "the database does not exist: correct the number in the URL (clusters have only 0)"
    if step == "HELLO" and (is_missing_command(error) or error.code == "NOPROTO"):
        return NoPush(f"Redis at {where} has no push messages (HELLO 3: {error.text})")
    return BrokerRefused(f"Redis at {where} refused the connection at {step}: {advice or error.text}")
