"""Logs an attempt that did not succeed, and what happens to its task."""

from __future__ import annotations

import logging
from typing import Any

from asynqio.core.attempts.ending import Ending, ending_of
from asynqio.core.lifecycle import Failed, Settlement, error_text
from asynqio.errors import Directive, HandlerNotFound, TaskTimeout
from asynqio.runtime.attempts.log_context import task_fields

log = logging.getLogger("asynqio.server")

TEXT = "task %r (%s, queue %r): %s; %s"
#: The attribute that carries the text of a traceback to `_KnownTraceback`.
_TRACE = "asynqio_trace"


class _KnownTraceback(logging.Filter):
    """Sets the text of a traceback that is formatted already: formatting it again costs more than the rest of the
    attempt. Handlers whose formatter has its own way to format exceptions format it themselves."""

    def filter(self, record: logging.LogRecord) -> bool:
        trace = record.__dict__.pop(_TRACE, "")
        if trace and record.exc_info and _formats_plainly(log):
            record.exc_text = trace.removesuffix("\n")
        return True


def _formats_plainly(logger: logging.Logger) -> bool:
    """Whether all handlers of a logger format exceptions as the logging module does."""
    at: logging.Logger | None = logger
    while at is not None:
        for handler in at.handlers:
            used = handler.formatter
            if used is not None and type(used).formatException is not logging.Formatter.formatException:
                return False
        at = at.parent if at.propagate else None
    return True


log.addFilter(_KnownTraceback())


def log_failure(outcome: Failed, settlement: Settlement, now: float, trace: str = "") -> None:
    """ERROR when the task is archived, WARNING when it is retried, INFO when it is deferred or dropped on request.
    A task that is deferred because it has no handler here is a WARNING. `trace` is the text of the traceback, if it
    is known."""
    error = outcome.error
    before, after = settlement.lease.message, settlement.message
    text = error_text(error)
    what = (before.id, before.type, before.queue, text)
    cause = error if _has_place(error) else None
    fields: dict[str, Any] = {**task_fields(before), "error": text, _TRACE: trace}
    retry_in = round(max(0.0, settlement.at - now), 3)
    match ending_of(outcome, settlement):
        case Ending.ARCHIVED:
            log.error(TEXT, *what, "archived", exc_info=cause, extra={"event": "task_failed", **fields})
        case Ending.RETRIED:
            then = f"retry {after.retried} of {after.max_retry} in {retry_in:.1f} s"
            fields["retry_in"] = retry_in
            log.warning(TEXT, *what, then, exc_info=cause, extra={"event": "task_retried", **fields})
        case Ending.DEFERRED:
            level = logging.WARNING if isinstance(error, HandlerNotFound) else logging.INFO
            then = f"deferred for {retry_in:.1f} s, not counted"
            fields["retry_in"] = retry_in
            log.log(level, TEXT, *what, then, exc_info=cause, extra={"event": "task_deferred", **fields})
        case _:
            log.info(TEXT, *what, "dropped", exc_info=cause, extra={"event": "task_revoked", **fields})


def _has_place(error: BaseException) -> bool:
    """Whether its traceback says more than its text."""
    if isinstance(error, Directive):
        return error.__cause__ is not None
    return not isinstance(error, HandlerNotFound | TaskTimeout)
