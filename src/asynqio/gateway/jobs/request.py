"""The request to create a job."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated

import msgspec

from asynqio.core.task.options import TaskOptions
from asynqio.gateway.errors import InvalidRequest

#: Retries of a job that does not say how many, and the most it may ask for.
DEFAULT_RETRIES, MOST_RETRIES = 3, 100
#: Seconds for which a finished job is kept, unless it says how long, and a job with an idempotency key at least.
DEFAULT_RETENTION = KEY_RETENTION = 86_400.0
#: Seconds ahead for which a job may be scheduled.
LONGEST_DELAY = 366 * 86_400.0
#: Characters of an idempotency key.
LONGEST_KEY = 255
#: The header of a task that says which request created it.
REQUEST_HEADER = "asynqio-request"

_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class NewJob(msgspec.Struct, forbid_unknown_fields=True):
    """A job to create. `payload` is any JSON value; a task function of asynqio takes its arguments from an object."""

    payload: msgspec.Raw
    queue: str = "default"
    #: The name of the handler.
    type: str = "job"
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=MOST_RETRIES)] = DEFAULT_RETRIES
    #: Earliest start (RFC 3339, with an offset), or `delay` in seconds. The past means now.
    run_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    delay: _Seconds | None = None
    #: A second request with the same key creates no second job.
    idempotency_key: str | None = None
    headers: dict[str, str] = {}
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    deadline: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    #: How long the finished job and its result are kept.
    retention_seconds: _Seconds = DEFAULT_RETENTION
    priority: str = "normal"


def check(job: NewJob, now: float) -> None:
    """Check what the types of the fields do not say. Raises InvalidRequest with every problem."""
    problems: list[str] = []
    if job.run_at is not None and job.delay is not None:
        problems.append("run_at and delay exclude each other: send one of them")
    if start_of(job, now) > now + LONGEST_DELAY:
        problems.append("run_at: at most 366 days ahead")
    if job.priority != "normal":
        problems.append("priority: only normal is supported")
    if job.idempotency_key is not None and (problem := key_problem(job.idempotency_key)):
        problems.append(f"idempotency_key: {problem}")
    if REQUEST_HEADER in {name.lower() for name in job.headers}:
        problems.append(f"headers: {REQUEST_HEADER} is reserved")
    if problems:
        raise InvalidRequest(problems)


def key_problem(key: str) -> str:
    """What is wrong with an idempotency key; empty if nothing is."""
    if not key.strip():
        return "must not be empty"
    if len(key) > LONGEST_KEY:
        return f"has {len(key)} characters, at most {LONGEST_KEY} are allowed"
    return "" if key.isprintable() else "must not contain control characters"


def start_of(job: NewJob, now: float) -> float:
    """The earliest start in epoch seconds."""
    if job.run_at is not None:
        return job.run_at.timestamp()
    return now + (job.delay or 0.0)


def options_of(job: NewJob, id: str, now: float) -> TaskOptions:
    """The options of the task of a job."""
    options: TaskOptions = {
        "queue": job.queue,
        "task_id": id,
        "max_retry": job.max_retries,
        "retention": job.retention_seconds,
    }
    headers = dict(job.headers)
    if job.idempotency_key is not None:
        headers[REQUEST_HEADER] = fingerprint(job)
        options["retention"] = max(job.retention_seconds, KEY_RETENTION)
    if headers:
        options["headers"] = headers
    if start_of(job, now) > now:
        options["process_at"] = start_of(job, now)
    if job.timeout_seconds is not None:
        options["timeout"] = job.timeout_seconds
    if job.deadline is not None:
        options["deadline"] = job.deadline
    return options


#: Numbers with a fraction are compared by their digits.
_exact = msgspec.json.Decoder(float_hook=str).decode


def fingerprint(job: NewJob) -> str:
    """A digest of what makes two requests with one key the same request."""
    payload = _exact(job.payload)
    parts = [job.queue, job.type, payload, job.priority, job.max_retries, job.run_at, job.delay]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
