"""Output of running handlers: results, progress and the live record of the attempt."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.results import Output
from asynqio.brokers.memory.storage.store import MemoryStore


def write_output(store: MemoryStore, outputs: Sequence[Output]) -> list[bool]:
    """See Broker.write_output."""
    answers = []
    with store.lock:
        for output in outputs:
            record = store.held(output.lease)
            if record is not None:
                if output.result is not None:
                    record.result = output.result
                if output.progress is not None:
                    record.progress = output.progress
                if output.live is not None:
                    record.live = output.live
            answers.append(record is not None)
    store.signals.publish(store.changed(output.lease.message.ref for output in outputs))
    return answers
