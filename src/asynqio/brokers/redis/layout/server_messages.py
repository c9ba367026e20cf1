"""Server and worker information in protobuf, as Go's inspectors read it."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from asynqio.brokers.redis.layout.descriptors import CLASSES, GO_ZERO, INT32_MAX, moment, timestamp
from asynqio.core.info import ServerInfo, WorkerInfo
from asynqio.errors import CorruptMessage

_Server, _Worker, _Time = CLASSES["ServerInfo"], CLASSES["WorkerInfo"], CLASSES["Timestamp"]


def plain_id(info: ServerInfo) -> str:
    """The server id in Go's messages: ours without the prefix `<host>:<pid>:`, which Go adds in the key."""
    return info.id.removeprefix(f"{info.host}:{info.pid}:")


def encode_server(info: ServerInfo) -> bytes:
    """Go's `ServerInfo`."""
    return bytes(
        _Server(
            host=info.host,
            pid=info.pid,
            server_id=plain_id(info),
            concurrency=min(info.concurrency, INT32_MAX),
            queues=info.queues,
            strict_priority=info.strict_priority,
            status=info.status,
            start_time=timestamp(info.started_at),
            active_worker_count=len(info.workers),
        ).SerializeToString()
    )


def encode_worker(info: ServerInfo, worker: WorkerInfo) -> bytes:
    """Go's `WorkerInfo`."""
    return bytes(
        _Worker(
            host=info.host,
            pid=info.pid,
            server_id=plain_id(info),
            task_id=worker.id,
            task_type=worker.type,
            task_payload=worker.payload or b"",
            queue=worker.queue,
            start_time=timestamp(worker.started_at),
            deadline=timestamp(worker.deadline) if worker.deadline else _Time(seconds=GO_ZERO),
        ).SerializeToString()
    )


def decode_server(data: bytes, workers: list[bytes]) -> ServerInfo:
    """The info of a Go server, from its messages. Raises CorruptMessage."""
    try:
        read = _Server.FromString(data)
        running = [_Worker.FromString(item) for item in workers]
    except DecodeError as error:
        raise CorruptMessage(f"{len(data)} bytes that are not a server message: {error}") from None
    return ServerInfo(
        id=f"{read.host}:{read.pid}:{read.server_id}",
        host=read.host,
        pid=read.pid,
        started_at=moment(read.start_time),
        queues=dict(read.queues),
        strict_priority=read.strict_priority,
        concurrency=read.concurrency,
        status=read.status,
        workers=[
            WorkerInfo(
                item.queue,
                item.task_id,
                item.task_type,
                moment(item.start_time),
                max(moment(item.deadline), 0.0),
                payload=item.task_payload or None,
            )
            for item in running
        ],
    )
