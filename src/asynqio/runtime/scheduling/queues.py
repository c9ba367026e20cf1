"""Runs the work of a scheduler queue by queue, so that a queue that fails does not affect the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from asynqio.clock import Clock
from asynqio.errors import BrokerError
from asynqio.runtime.scheduling.plan import Plan

log = logging.getLogger("asynqio.scheduler")

#: Most plans of one call of the broker, and of one piece of work on the event loop (about 5 ms).
PART = 250
#: Seconds for which a queue that failed is skipped.
BACKOFF = 1.0


class QueueIsolation:
    """Remembers which queues failed, because their master is unavailable or they are damaged."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Queues that failed, and until when they are skipped (monotonic time).
        self._failed: dict[str, float] = {}

    def failed(self, queue: str) -> bool:
        """Whether the last work on this queue failed."""
        return queue in self._failed

    async def run(self, work: Callable[[str, list[Plan]], Awaitable[None]], plans: Sequence[Plan]) -> None:
        """Do the work for the plans of each queue, all queues at once. Raises what is not a BrokerError."""
        now = self._clock.monotonic()
        skipped = {queue for queue, until in self._failed.items() if until > now}
        calls = {queue: some for queue, some in by_queue(plans).items() if queue not in skipped}
        answers = await asyncio.gather(
            *(work(queue, some) for queue, some in calls.items()), return_exceptions=True
        )
        for queue, answer in zip(calls, answers, strict=True):
            if isinstance(answer, BrokerError):
                if queue not in self._failed:
                    log.warning(
                        "schedules of queue %r are suspended until it answers: %s",
                        queue,
                        answer,
                        extra={"event": "schedules_suspended", "queue": queue, "error": str(answer)},
                    )
                self._failed[queue] = now + BACKOFF
            elif isinstance(answer, BaseException):
                raise answer
            elif self._failed.pop(queue, None) is not None:
                log.info(
                    "schedules of queue %r fire again",
                    queue,
                    extra={"event": "schedules_resumed", "queue": queue},
                )


def parts(plans: Sequence[Plan]) -> Iterator[Sequence[Plan]]:
    """The plans in parts of PART."""
    for start in range(0, len(plans), PART):
        yield plans[start : start + PART]


def by_queue(plans: Iterable[Plan]) -> dict[str, list[Plan]]:
    """The plans of each queue."""
    found: dict[str, list[Plan]] = {}
    for plan in plans:
        found.setdefault(plan.queue, []).append(plan)
    return found
