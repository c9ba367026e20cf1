"""Directives: exceptions by which a handler controls its task."""

from __future__ import annotations

from datetime import timedelta

from asynqio.error_pickling import pickle_without_constructor


class Directive(Exception):
    """Raised by a handler to steer. Also found when it is the `__cause__` of another exception."""

    __reduce__ = pickle_without_constructor


class SkipRetry(Directive):
    """Archive the task now, whatever retries are left."""


class RevokeTask(Directive):
    """Drop the task now: counted as processed, not as failed; its result is not kept."""


class RetryIn(Directive):
    """Run the task again in `seconds` (a number or a timedelta).

    By default this is neither a failure nor a counted retry, and has no limit. `counted=True`: it is a failed attempt
    that counts against `max_retry`, and the task is archived when no retry is left. Raises ValueError.
    """

    def __init__(self, seconds: float | timedelta, reason: str = "", *, counted: bool = False) -> None:
        number = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        if not 0 <= number < float("inf"):
            raise ValueError(f"RetryIn({seconds!r}): give a number of seconds, 0 or more")
        super().__init__(reason or f"asked to run again in {number:g} s")
        self.seconds = number
        self.counted = counted
