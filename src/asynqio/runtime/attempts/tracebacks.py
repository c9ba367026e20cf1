"""Where an error came from, as text to be kept with its attempt."""

from __future__ import annotations

import traceback

from asynqio.errors import Directive, HandlerNotFound, LeaseExpired, TaskCancelled, TaskTimeout, WorkerDied

#: Errors that say it all, or whose place is ours and not the handler's.
PLACELESS = (Directive, HandlerNotFound, LeaseExpired, TaskCancelled, TaskTimeout, WorkerDied)


def trace_of(error: BaseException) -> str:
    """The traceback, with causes and notes; empty for errors that come from nowhere in particular."""
    if isinstance(error, PLACELESS):
        return ""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as broken:  # what a user's error makes of itself must not cost the settlement
        return f"(the traceback cannot be shown: {type(broken).__name__})"
