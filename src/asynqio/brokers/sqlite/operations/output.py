"""Output of running handlers: results, progress and the live record of the attempt."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.results import Output
from asynqio.brokers.sqlite.operations.leases import fence
from asynqio.brokers.sqlite.storage.rows import encode
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction


def write_output(transaction: Transaction, outputs: Sequence[Output]) -> list[bool]:
    """See Broker.write_output."""
    answers = []
    for output in outputs:
        written = transaction.run(
            SQL.write_output,
            **fence(output.lease),
            result=output.result,
            progress=output.progress,
            live=None if output.live is None else encode(output.live),
        )
        answers.append(bool(written.rowcount))
        transaction.changed.append(output.lease.message)
    return answers
