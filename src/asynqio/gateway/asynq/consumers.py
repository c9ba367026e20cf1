"""The requests about consumers as a whole: their heartbeats, and the cancellation of running tasks."""

from __future__ import annotations

from asynqio.core.info import SHOWN_PAYLOAD, ServerInfo, WorkerInfo
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.gateway.asynq import answers, requests
from asynqio.gateway.asynq.held import compare_with_heartbeat
from asynqio.gateway.asynq.session import Session

#: Longest validity of a heartbeat in seconds. A consumer asks for an hour with its first one, and for 10 s later.
LONGEST_TTL = 60


async def ping(session: Session, request: requests.Ping) -> str:
    return answers.PONG


async def write_server_state(session: Session, request: requests.WriteServerState) -> str:
    """Register the consumer, as a server, and note which of its tasks it still runs."""
    data, gateway = request.data, session.gateway
    listed = {TaskRef(session.stored(worker.queue), worker.task_id) for worker in data.workers}
    compare_with_heartbeat(list(session.held.values()), listed, gateway.clock.monotonic())
    info = server_info(session, data)
    session.leaving = False
    await session.store.beat(info, min(max(data.ttl_seconds, 1), LONGEST_TTL))
    session.consumer = info
    return answers.SUCCESS


def server_info(session: Session, data: requests.ServerState) -> ServerInfo:
    """The heartbeat of a consumer as that of a server. Its tasks have started when they were handed out."""
    now = session.gateway.clock.now()
    workers = []
    for worker in data.workers:
        held = session.held.get(TaskRef(session.stored(worker.queue), worker.task_id))
        workers.append(
            WorkerInfo(
                worker.queue,
                worker.task_id,
                worker.task_type,
                held.started_at if held is not None else now,
                payload=worker.task_payload if len(worker.task_payload) <= SHOWN_PAYLOAD else None,
            )
        )
    return ServerInfo(
        id=_server_id(data),
        host=data.host,
        pid=data.pid,
        started_at=session.started_at,
        queues=dict(data.queues),
        strict_priority=data.strict_priority,
        concurrency=data.concurrency,
        status=data.status,
        workers=workers,
        processed=session.processed,
        failed=session.failed,
        at=now,
    )


def _server_id(data: requests.ServerId) -> str:
    return f"{data.host}:{data.pid}:{data.server_id}"


async def clear_server_state(session: Session, request: requests.ClearServerState) -> str:
    """Remove the registration of the consumer, which gets no more tasks. One that was never registered has none."""
    data = request.data
    if session.consumer is not None and session.consumer.id == _server_id(data):
        session.leaving = True
        await session.store.leave(session.consumer)
        session.consumer = None
    return answers.SUCCESS


async def subscribe_cancellation(session: Session, request: requests.SubscribeCancellation) -> str:
    """Nothing to do: each client is notified of the cancellation of the tasks that it holds."""
    return answers.SUCCESS


async def publish_cancellation(session: Session, request: requests.PublishCancellation) -> str:
    """Cancel a running task, whichever queue it is in. Unknown tasks, and those that do not run, are ignored."""
    id = request.data.task_id
    queues = await session.store.queues()
    found = await session.store.find([TaskRef(queue, id) for queue in queues])
    running = [info.ref for info in found if info is not None and info.state is TaskState.ACTIVE]
    if running:
        await session.store.cancel(running)
    return answers.SUCCESS
