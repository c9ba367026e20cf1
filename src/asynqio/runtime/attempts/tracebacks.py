"""The traceback of an error, as text to be kept with its attempt."""

from __future__ import annotations

import traceback

from asynqio.errors import (
    Directive,
    HandlerNotFound,
    LeaseExpired,
    ProcessNotStarted,
    TaskCancelled,
    TaskTimeout,
    WorkerDied,
)

#: Errors whose text says everything, or whose traceback is ours and not the handler's.
WITHOUT_TRACEBACK = (
    Directive,
    HandlerNotFound,
    LeaseExpired,
    ProcessNotStarted,
    TaskCancelled,
    TaskTimeout,
    WorkerDied,
)


def trace_of(error: BaseException) -> str:
    """The traceback, with causes and notes; empty for errors whose text says everything."""
    if isinstance(error, WITHOUT_TRACEBACK):
        return ""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as broken:  # a user's exception class must not cost the settlement
        return f"(the traceback cannot be shown: {type(broken).__name__})"
