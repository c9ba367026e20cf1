"""Errors that only the gateway raises."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.errors import AsynqioError, ExecutionError, NotFound


class InvalidFrame(AsynqioError, ValueError):
    """A message cannot be decoded; the text names the field."""


class InvalidRequest(AsynqioError, ValueError):
    """The body or a parameter of a request is invalid; `problems` names each field."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class WrongHost(AsynqioError):
    """The Host header names another machine."""

    def __init__(self) -> None:
        super().__init__("the Host header does not name this gateway")


class CrossOrigin(AsynqioError):
    """A web page of another origin sends the request."""

    def __init__(self) -> None:
        super().__init__("web pages of other origins may not use this gateway")


class JobNotFound(NotFound):
    """No queue has a job with this id."""

    def __init__(self) -> None:
        super().__init__("job not found")


class KeyReused(AsynqioError, ValueError):
    """The idempotency key was used for another request, which created the job `job_id`."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"the idempotency key was used for another request, which created job {job_id}")
        self.job_id = job_id


class TaskNotHeld(AsynqioError, LookupError):
    """The client ends a task that it does not hold: it never had it, ended it before, or lost its lease."""

    def __init__(self, queue: str, id: str, what: str = "task") -> None:
        super().__init__(f"{what} {id!r} of queue {queue!r} is not held by this client")
        self.queue, self.id = queue, id


class ConsumerError(ExecutionError):
    """The error that a consumer reported for a failed attempt; its text is the consumer's."""
