"""Client, its sync clone, and what they answer."""

from dataclasses import dataclass
from typing import assert_type

from asynqio import Client, EnqueueError, Inspector, QueueStats, Task, TaskInfo, TaskState, sync


@dataclass
class Size:
    width: int


async def use() -> None:
    async with Client("memory://", queue="low", retention=60) as client:
        info = await client.enqueue(Task.json("a", {"x": 1}), process_in=5)
        assert_type(info, TaskInfo)
        assert_type(info.state, TaskState)
        assert_type(await client.enqueue_many([Task("a")]), list[TaskInfo | EnqueueError])
        assert_type(await client.result(info.id, Size, queue="low", timeout=1), Size)
        assert_type(await client.result(info.id, bytes), bytes)
        assert_type(await client.wait(info.id), TaskInfo)
        inspector = Inspector(client.broker)
        assert_type(await inspector.queue("low"), QueueStats)
        assert_type(await inspector.tasks("low", TaskState.RETRY, size=10), list[TaskInfo])


def blocking() -> None:
    with sync.Client("memory://") as client, sync.Inspector("memory://") as inspector:
        info = client.enqueue(Task("a"), queue="low")
        assert_type(info, TaskInfo)
        assert_type(client.result(info.id, Size, queue="low"), Size)
        assert_type(inspector.queues(), list[QueueStats])
