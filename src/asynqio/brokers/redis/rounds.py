"""Work on many queues in rounds: all slots of a cluster at once, and no more in total than a limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.session import Session


async def in_rounds(
    session: Session,
    queues: Sequence[str],
    limit: int,
    call: Callable[[int, list[QueueKeys]], Awaitable[tuple[int, float | None]]],
) -> tuple[int, float | None]:
    """`await call(share, queues)` for every slot, until all of them have less to do than their share.

    `call` returns how many items it handled and when the next one is due (None: never, as far as is known). Returns
    the sum, at most `limit`, and the earliest of the times.
    """
    done = 0
    nothing: tuple[int, float | None] = (0, None)
    due: dict[str, float | None] = {}
    left = [queue for some in session.by_slot(queues) for queue in some]
    while left and done < limit:
        # In a cluster each queue is a slot of its own; elsewhere all of them are one.
        slots = len(left) if session.redis.clustered else 1
        share = max(1, (limit - done) // slots)
        asked, later = (left[: limit - done], left[limit - done :]) if slots > 1 else (left, [])
        left = later
        for some, (count, next_at) in await session.for_all_slots(
            [queue.name for queue in asked], partial(call, share), nothing
        ):
            done += count
            due[some[0].name] = next_at
            if count >= share:
                left += some
    return done, min((time for time in due.values() if time is not None), default=None)
