"""Return leases that their caller does not get."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Aborted, Deferred, Lease, Policy, decide
from asynqio.errors import BrokerError

log = logging.getLogger("asynqio.gateway")

_POLICY = Policy()


async def hand_back(store: Store, leases: Sequence[Lease], outcome: Aborted | Deferred) -> None:
    """Settle leases of tasks that no handler has seen, so that their order remains.

    If the store refuses, the leases lapse, and the tasks are recovered like those of a dead server."""
    if not leases:
        return
    now = store.clock.now()
    # Each aborted task goes to the front: the last one first.
    ordered = reversed(leases) if isinstance(outcome, Aborted) else leases
    try:
        await store.settle([decide(lease, outcome, now, _POLICY) for lease in ordered])
    except BrokerError as error:
        log.warning(
            "%d tasks leased for clients that do not get them could not be returned, their leases will lapse: %s",
            len(leases),
            error,
            extra={"event": "leases_not_returned", "count": len(leases), "error": str(error)},
        )
