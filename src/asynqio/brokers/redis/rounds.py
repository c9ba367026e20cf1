"""Work on many queues in rounds: all slots of a cluster at once, and no more in total than a limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.session import Session

#: Queues per script call. It reads a few keys of each even if nothing is due: 1,000 queues blocked Redis for 30 ms.
QUEUES = 100

#: What a call returns: how many items it handled, and when the next one is due (None: never, as far as is known).
Handled = tuple[int, float | None]


async def in_rounds(
    session: Session,
    queues: Sequence[str],
    limit: int,
    call: Callable[[int, list[QueueKeys]], Awaitable[Handled]],
) -> Handled:
    """`await call(share, queues)` for every slot, until all of them have less to do than their share.

    Returns the sum, at most `limit`, and the earliest of the times.
    """
    done = 0
    nothing: Handled = (0, None)
    due: dict[str, float | None] = {}
    left = [queue for some in session.by_slot(queues) for queue in some]
    while left and done < limit:
        # In a cluster each queue is a slot of its own; elsewhere all of them are one.
        slots = len(left) if session.redis.clustered else 1
        share = max(1, (limit - done) // slots)
        asked, later = (left[: limit - done], left[limit - done :]) if slots > 1 else (left, [])
        left = later
        for some, (count, next_at) in await session.for_all_slots(
            [queue.name for queue in asked], partial(_in_parts, call, share), nothing
        ):
            done += count
            due[some[0].name] = next_at
            if count >= share:
                left += some
    return done, earliest(due.values())


async def _in_parts(
    call: Callable[[int, list[QueueKeys]], Awaitable[Handled]], share: int, queues: list[QueueKeys]
) -> Handled:
    """One call after the other for QUEUES queues each, until the share is used up."""
    done, due = 0, []
    for start in range(0, len(queues), QUEUES):
        count, next_at = await call(share - done, queues[start : start + QUEUES])
        done += count
        due.append(next_at)
        if done >= share:
            break
    return done, earliest(due)


def earliest(times: Iterable[float | None]) -> float | None:
    """The earliest of the known times."""
    return min((time for time in times if time is not None), default=None)
