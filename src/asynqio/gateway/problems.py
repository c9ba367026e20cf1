"""What clients learn about an error: one table for all protocols.

The text of an error is shown only where it is about the request. Errors of the store may name hosts and files, so
clients get a fixed sentence and the id of the request; the log has the rest.
"""

from __future__ import annotations

import logging
import math
import re
from typing import NamedTuple

import msgspec

from asynqio import errors
from asynqio.gateway.errors import (
    CrossOrigin,
    InvalidFrame,
    InvalidRequest,
    KeyReused,
    TaskNotHeld,
    WrongHost,
)

log = logging.getLogger("asynqio.gateway")


class Kind(NamedTuple):
    """How one class of errors is reported. Without a detail, the text of the error is shown."""

    status: int
    name: str
    title: str
    detail: str = ""
    retry_after: int = 0


#: The first matching class counts.
KINDS: dict[type[Exception], Kind] = {
    InvalidFrame: Kind(400, "invalid-message", "The message cannot be read"),
    InvalidRequest: Kind(400, "invalid-request", "The request is invalid"),
    CrossOrigin: Kind(403, "cross-origin", "The request comes from another origin"),
    WrongHost: Kind(421, "wrong-host", "Wrong host"),
    KeyReused: Kind(422, "idempotency-key-reused", "The idempotency key was used for another request"),
    errors.PayloadTooLarge: Kind(413, "payload-too-large", "The payload is too large"),
    errors.InvalidTask: Kind(400, "invalid-task", "The task is invalid"),
    errors.InvalidFilter: Kind(400, "invalid-filter", "The filter is invalid"),
    errors.DuplicateTask: Kind(409, "duplicate-task", "A unique task exists"),
    errors.TaskIdConflict: Kind(409, "task-id-conflict", "The id is in use"),
    errors.NotFound: Kind(404, "not-found", "Not found"),
    TaskNotHeld: Kind(409, "task-not-held", "The task is not held by this client"),
    errors.WrongState: Kind(409, "wrong-state", "Not possible in this state"),
    errors.ResultNotKept: Kind(410, "result-not-kept", "The task keeps no result"),
    errors.TooManyAttempts: Kind(429, "too-many-attempts", "Too many failed attempts"),
    errors.AuthenticationFailed: Kind(401, "unauthorized", "Authentication failed"),
    errors.AccessDenied: Kind(403, "forbidden", "Permission denied"),
    errors.StorageFull: Kind(
        503, "storage-full", "The store is full", "the store is full: nothing was changed", retry_after=10
    ),
    errors.BrokerUnavailable: Kind(
        503, "store-unavailable", "The store is unavailable", "the store does not answer", retry_after=1
    ),
    errors.BrokerRefused: Kind(
        503, "store-refused", "The store refuses the request", "an operator must act", retry_after=10
    ),
    errors.CannotStore: Kind(
        422, "cannot-store", "The store cannot hold this value", "the value is invalid or too large"
    ),
}
_UNKNOWN = Kind(500, "internal-error", "Internal error", "the error is in the log of the gateway")


class Problem(msgspec.Struct, frozen=True):
    """An error as clients see it."""

    kind: Kind
    detail: str
    #: Whole seconds after which the request may be repeated; 0: not at all, as it is.
    retry_after: int = 0
    #: What is wrong with single fields: their names, and why.
    errors: tuple[tuple[str, str], ...] = ()


def problem_of(error: Exception, request_id: str) -> Problem:
    """The problem of an error. Errors whose text is not shown are logged with the id of the request."""
    kind = next((KINDS[cls] for cls in type(error).__mro__ if cls in KINDS), _UNKNOWN)
    retry_after = math.ceil(getattr(error, "retry_after", 0)) or kind.retry_after
    if not kind.detail:
        return Problem(kind, str(error), retry_after, _field_errors(error))
    expected = kind is not _UNKNOWN
    log.log(
        logging.WARNING if expected else logging.ERROR,
        "request %s failed: %s",
        request_id,
        str(error) or type(error).__name__,
        exc_info=None if expected else error,
        extra={"event": "request_failed", "request_id": request_id, "error": str(error)},
    )
    return Problem(kind, f"{kind.detail} (request {request_id})", retry_after)


#: A problem that begins with the name of its field: `delay: must …`, `[3].delay: must …`.
_FIELD = re.compile(r"(?P<field>[\w.\[\]-]+): (?P<message>.*)", re.DOTALL)


def _field_errors(error: Exception) -> tuple[tuple[str, str], ...]:
    if not isinstance(error, InvalidRequest):
        return ()
    found = (_FIELD.fullmatch(problem) for problem in error.problems)
    return tuple((match["field"], match["message"]) for match in found if match is not None)
