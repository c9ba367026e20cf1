"""Results, progress and logs that running handlers store with their tasks."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.results import Output
from asynqio.brokers.redis.chunking import by_queue
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.fencing import HELD, token_of
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.layout.packing import optional, pack
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.attempts.record import encode_record


async def write_output(session: Session, outputs: Sequence[Output]) -> list[bool]:
    """See Broker.write_output."""
    answers = [False] * len(outputs)
    packed = [
        pack(
            optional(output.result),
            optional(output.progress),
            b"" if output.live is None else encode_record(output.live),
        )
        for output in outputs
    ]
    # A script call reads the stored message as well.
    sizes = [
        len(data) + len(output.lease.message.payload or b"")
        for data, output in zip(packed, outputs, strict=True)
    ]

    async def call(name: str, indexes: Sequence[int]) -> None:
        queue = queue_keys(name)
        keys: list[str] = []
        args: list[Arg] = []
        for at in indexes:
            output = outputs[at]
            keys.append(queue.task(output.lease.message.id))
            token = token_of(output.lease)
            args += (token.owner, token.fence, packed[at])
        reply = await session.run_idempotent(LUA.write_output, keys, args)
        for at, held in zip(indexes, reply, strict=True):
            answers[at] = held == HELD

    await by_queue([output.lease.message.queue for output in outputs], call, sizes)
    return answers
