"""Ids of jobs: UUIDs that say in which queues to look for the job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from asynqio.core.task.ids import new_id

#: Characters at the end of an id that are a digest of the name of its queue.
_HINT = 4


def new_job_id(now: float, queue: str) -> str:
    """A new id. An API that finds a job by its id alone would search every queue without it."""
    return new_id(now)[:-_HINT] + _hint(queue)


def keyed_job_id(scope: str, key: str) -> str:
    """The id of the job with this idempotency key: the same for every request, whatever its queue."""
    digest = hashlib.sha256(f"{len(scope)}:{scope}:{key}".encode()).hexdigest()
    # A UUID of version 8, which is free for other uses (RFC 9562).
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def likely_queues(id: str, queues: Iterable[str]) -> list[str]:
    """The queues to look in first."""
    hint = id[-_HINT:]
    return [queue for queue in queues if _hint(queue) == hint]


def _hint(queue: str) -> str:
    return hashlib.md5(queue.encode(), usedforsecurity=False).hexdigest()[:_HINT]
