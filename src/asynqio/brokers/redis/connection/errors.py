"""What goes wrong in Redis, in the words of this library: no driver's exception gets out."""

from __future__ import annotations

import os
import re
import ssl

from asynqio.errors import BrokerError, BrokerUnavailable, StorageFull


class RedisError(BrokerError):
    """Redis answered with an error. `code` is its first word ("WRONGTYPE", "NOSCRIPT", "MOVED"), `text` all."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Redis answered: {text}")
        self.text = text
        self.code = text.partition(" ")[0]


class ReplyLost(BrokerUnavailable):
    """The command was sent, but the answer did not come: it may or may not have been done."""


class Demoted(BrokerUnavailable):
    """The server has become a replica: there is another master by now, or soon."""


class Unsettled(BrokerUnavailable):
    """The cluster moves or votes just now; the same command goes through a moment later."""

    def __init__(self, text: str) -> None:
        super().__init__(f"the Redis cluster cannot serve this now ({text}): try again")
        self.text = text


#: Before version 7 an error inside a script arrives wrapped into one of the script, with the code in the midst.
_WRAPPED = re.compile(
    r"^ERR Error (?:running|compiling) script.*@user_script: ?\d+: -?([A-Z]+ .*)$", re.DOTALL
)


def translate(text: str) -> BrokerError:
    """The error that a caller is to see for an error reply."""
    if found := _WRAPPED.match(text):
        text = found[1]
    match text.partition(" ")[0]:
        case "OOM":
            return StorageFull(
                "Redis has reached maxmemory and refuses to write: nothing was changed. Give it more memory, or "
                "delete tasks that are kept (archived, completed)"
            )
        case "READONLY":
            return Demoted("this Redis server is a replica and takes no writes: connect to the master")
        case "TRYAGAIN" | "CLUSTERDOWN":
            return Unsettled(text)
        case "LOADING":
            return BrokerUnavailable("Redis is still loading its data from disk: try again")
        case "MASTERDOWN":
            return BrokerUnavailable("this Redis server is a replica that has lost its master: try again")
        case "MISCONF":
            return BrokerUnavailable(
                "Redis cannot save its data and refuses to write (look into its log; is its disk full?)"
            )
        case "NOREPLICAS":
            return BrokerUnavailable(
                "Redis has fewer replicas than min-replicas-to-write, and refuses to write"
            )
        case "BUSY":
            return BrokerUnavailable(
                "Redis is busy with a script that runs for too long (SCRIPT KILL ends it)"
            )
    if text.startswith("ERR max number of clients"):
        return BrokerUnavailable(
            "Redis has no connection left: raise maxclients there, or find out who holds them (CLIENT LIST)"
        )
    return RedisError(text)


def reason(error: BaseException | None) -> str:
    """An error in few words: operating systems and TLS like to say much."""
    if error is None:
        return "closed by the server"
    if isinstance(error, TimeoutError) and not error.args:
        return "no answer"
    if isinstance(error, OSError) and error.strerror:
        if (error.errno or 0) > 0 and not isinstance(error, ssl.SSLError):
            # asyncio writes "Connect call failed" and the address instead of why.
            return os.strerror(error.errno or 0)
        return error.strerror
    return str(error) or type(error).__name__


def unreachable(where: str, why: str, patience: float) -> BrokerUnavailable:
    """The connection did not come (back) while a caller waited."""
    return BrokerUnavailable(
        f"Redis at {where} cannot be reached ({why}), for {patience:g} s now: check that it runs and that the "
        "URL is right; this call was not sent"
    )


def gone(where: str, why: str) -> BrokerUnavailable:
    """Somebody still used a connection that has ended."""
    return BrokerUnavailable(f"the connection to Redis at {where} is gone ({why}): this call was not sent")


def lost(where: str, why: str) -> ReplyLost:
    """The connection broke between command and answer."""
    return ReplyLost(
        f"Redis at {where} went away ({why}) before it answered: the command may or may not have been done"
    )


def not_open(where: str) -> BrokerUnavailable:
    """Called too early or too late."""
    return BrokerUnavailable(f"Redis at {where} is not open: use the broker in `async with broker: ...`")


#: What a server says to who must not come in, and what to do about it. No text of the server is repeated
#: here, for it may quote what it was sent.
_REFUSALS = {
    "WRONGPASS": "it does not take this user name and password: fix them in the URL",
    "NOAUTH": "it wants a password: write redis://:password@host or redis://user:password@host",
    "NOPERM": "this user may not do what is needed: give it the commands and keys (ACL SETUSER)",
    "DENIED": "it is in protected mode and takes local clients only: set a password there (requirepass)",
}


def refused(where: str, error: RedisError, step: str) -> BrokerError:
    """The server let us connect, and then would not have us."""
    advice = _REFUSALS.get(error.code)
    if advice is None and step == "AUTH":
        advice = (
            "it does not take this user name and password: leave both out if it asks for none, and the user "
            "name if it is older than Redis 6"
        )
    if advice is None and step == "SELECT":
        advice = "it has no such database: fix the number in the URL (clusters have only 0)"
    if advice is None and step == "HELLO":
        advice = "it does not speak RESP3: asynqio needs Redis 6.2 or later"
    return BrokerError(f"Redis at {where} refuses us at {step}: {advice or error.text}")
