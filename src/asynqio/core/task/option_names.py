"""Names that are not options of a task, and what to write instead: misspelt ones, and other queues' words."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from asynqio.errors import InvalidOption

_RETRIES = "write max_retry"
_ATTEMPTS = "write max_retry, which is one less: the first attempt is not a retry"
_DELAY = "write process_in, in seconds or as a timedelta"
_MOMENT = "write process_at, an aware datetime or seconds since the epoch"
_DEADLINE = "write deadline, a moment (not a duration) after which the task is not run"
_TIMEOUT = "write timeout, in seconds or as a timedelta; there is one time limit for each attempt"
_RETENTION = "write retention, in seconds or as a timedelta"
_BACKOFF = "write retry=ExponentialRetry(first=…, factor=…, cap=…, jitter=…) or retry=FixedRetry(seconds)"
_NO_RETRY = "raise SkipRetry in the handler: it archives the task without another try"
_ACKS = "leave it out: a task is always acknowledged after its handler has ended"
_JSON = "leave it out: payloads are JSON"
_QUEUE = "write queue"
_ID = "write task_id"
_UNIQUE = "write unique, in seconds or as a timedelta"

#: Celery, RQ, Dramatiq, arq, Huey, SAQ, TaskIQ and Go asynq → asynqio.
_INSTEAD: Mapping[str, str] = {
    "max_retries": _RETRIES,
    "retries": _RETRIES,
    "retry_count": _RETRIES,
    "max_attempts": _ATTEMPTS,
    "max_tries": _ATTEMPTS,
    "attempts": _ATTEMPTS,
    "tries": _ATTEMPTS,
    "countdown": _DELAY,
    "delay": _DELAY,
    "delay_seconds": _DELAY,
    "defer_by": _DELAY,
    "enqueue_in": _DELAY,
    "eta": _MOMENT,
    "defer_until": _MOMENT,
    "enqueue_at": _MOMENT,
    "run_at": _MOMENT,
    "scheduled": _MOMENT,
    "scheduled_at": _MOMENT,
    "expires": _DEADLINE,
    "expires_at": _DEADLINE,
    "max_age": _DEADLINE,
    "time_limit": _TIMEOUT,
    "soft_time_limit": _TIMEOUT,
    "hard_time_limit": _TIMEOUT,
    "job_timeout": _TIMEOUT,
    "ttl": "write deadline (a moment after which the task is not run) or retention (how long its result is kept)",
    "result_ttl": _RETENTION,
    "result_expires": _RETENTION,
    "keep_result": _RETENTION,
    "store_results": _RETENTION,
    "store_result": _RETENTION,
    "failure_ttl": "leave it out: archive_age= in the URL of the broker says how long failed tasks are kept",
    "ignore_result": "write retention=0, the default: no result is kept",
    "bind": "leave it out: asynqio.current() is the context of the running task",
    "name": "write the task type as the first argument: @app.task('email:send')",
    "task_name": "write the task type as the first argument: @app.task('email:send')",
    "actor_name": "write the task type as the first argument: @app.task('email:send')",
    "type": "write the task type as the first argument: @app.task('email:send')",
    "rate_limit": "there is no rate limit yet: limit the concurrency of the server that serves its queue",
    "acks_late": _ACKS,
    "acks_on_failure_or_timeout": _ACKS,
    "reject_on_worker_lost": "leave it out: a task whose worker dies always runs again, until max_crashes",
    "track_started": "leave it out: the state of a running task is always ACTIVE",
    "autoretry_for": "leave it out: every exception is retried; retry=RetryByException({…}) sets the delays by class",
    "retry_for": "leave it out: every exception is retried; retry=RetryByException({…}) sets the delays by class",
    "retry_when": _NO_RETRY,
    "dont_autoretry_for": _NO_RETRY,
    "throws": _NO_RETRY,
    "retry_delay": _BACKOFF,
    "default_retry_delay": _BACKOFF,
    "retry_backoff": _BACKOFF,
    "retry_backoff_max": _BACKOFF,
    "retry_jitter": _BACKOFF,
    "retry_kwargs": _BACKOFF,
    "retry_policy": _BACKOFF,
    "min_backoff": _BACKOFF,
    "max_backoff": _BACKOFF,
    "backoff": _BACKOFF,
    "priority": "write queue: the weights of a server's queues (queues={'critical': 6, 'default': 3}) are priorities",
    "job_id": _ID,
    "id": _ID,
    "key": "write task_id (one task of this id) or unique_key (what stands for the payload in the lock)",
    "queue_name": _QUEUE,
    "routing_key": _QUEUE,
    "exchange": _QUEUE,
    "unique_for": _UNIQUE,
    "unique_ttl": _UNIQUE,
    "lock_ttl": _UNIQUE,
    "once": _UNIQUE,
    "group_key": "write group",
    "group_id": "write group",
    "meta": "write headers, a mapping of text to text",
    "labels": "write headers, a mapping of text to text",
    "description": "write headers, a mapping of text to text",
    "serializer": _JSON,
    "compression": _JSON,
    "pydantic": "leave it out: arguments are checked against their annotations, pydantic models included",
    "typing": "leave it out: calls are checked against the signature of the function",
    "link": "enqueue the next task at the end of the handler",
    "depends_on": "enqueue the next task at the end of the handler",
    "broker_url": "write the URL of the broker as the first argument",
    "url": "write the URL of the broker as the first argument",
    "backend": "leave it out: results are kept by the broker, for the retention of each task",
    "result_backend": "leave it out: results are kept by the broker, for the retention of each task",
}


def unknown_option(
    name: str, value: object, options: Sequence[str], also: Mapping[str, str] | None = None
) -> InvalidOption:
    """The error for a name that is none of `options`. `also`: advice that holds in one place only."""
    word = name.lstrip("_")
    advice = (also or {}).get(word) or _INSTEAD.get(word)
    if advice is None:
        near = difflib.get_close_matches(word, options, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"options are {', '.join(options)}"
    return InvalidOption(name, value, f"is not an option of a task: {advice}")
