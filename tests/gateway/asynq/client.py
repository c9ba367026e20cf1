"""A plain client of the asynq-server protocol, written from the description of the protocol alone."""

from __future__ import annotations

import asyncio
import base64
import json
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

#: Seconds to wait for an answer.
TIMEOUT = 20.0


class ProtocolClient:
    """Sends one request at a time. Use it in `async with`."""

    def __init__(self, address: str, path: str = "/ws", **options: Any) -> None:
        self._connect = connect(f"ws://{address}{path}", compression=None, **options)
        self._socket: ClientConnection | None = None
        #: Unsolicited messages that arrived before an answer.
        self.pushed: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        self._socket = await self._connect
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close()

    @property
    def socket(self) -> ClientConnection:
        assert self._socket is not None
        return self._socket

    async def send(self, message: str | bytes) -> None:
        await self.socket.send(message)

    async def receive(self) -> dict[str, Any]:
        """The next message, of any type."""
        text = await asyncio.wait_for(self.socket.recv(), TIMEOUT)
        assert isinstance(text, str)
        return json.loads(text)  # type: ignore[no-any-return]

    async def call(self, type: str, data: object = None) -> dict[str, Any]:
        """Send a request and return its answer."""
        message: dict[str, object] = {"type": type}
        if data is not None:
            message["data"] = data
        await self.send(json.dumps(message))
        while (answer := await self.receive())["type"] == "cancellation":
            self.pushed.append(answer)
        return answer

    async def error(self, type: str, data: object = None) -> str:
        """Send a request that is refused, and return the text of the error."""
        answer = await self.call(type, data)
        assert answer["type"] == "error", answer
        return str(answer["data"]["message"])

    async def enqueue(self, type: str = "enqueue", **fields: object) -> dict[str, Any]:
        """Enqueue a task; returns the data of `task_info`."""
        answer = await self.call(type, task_fields(**fields))
        assert answer["type"] == "task_info", answer
        return answer["data"]  # type: ignore[no-any-return]

    async def dequeue(self, *queues: str) -> dict[str, Any] | None:
        """The record of a task; None: there is none."""
        answer = await self.call("dequeue", {"queues": list(queues or ("default",))})
        assert answer["type"] == "dequeue_result", answer
        return answer["data"]  # type: ignore[no-any-return]

    async def take(self, *queues: str) -> dict[str, Any]:
        """The record of a task, which there is."""
        task = await self.dequeue(*queues)
        assert task is not None
        return task

    async def succeed(self, type: str, data: object = None) -> None:
        """Send a request whose answer is `success`."""
        assert await self.call(type, data) == {"type": "success"}

    async def end(self, type: str, task: dict[str, Any], **fields: object) -> None:
        """Say how an attempt ended: `done`, `retry`, `archive`."""
        await self.succeed(type, ack_fields(task, **fields))


def task_fields(**fields: object) -> dict[str, object]:
    """What the Rust crate sends to enqueue a task."""
    return {
        "task_type": "email:send",
        "payload": base64.b64encode(b'{"to":"a@b.c"}').decode(),
        "headers": {"content-type": "application/json"},
        "queue": "default",
        "max_retry": 3,
        "task_id": None,
        **fields,
    }


def ack_fields(task: dict[str, Any], **fields: object) -> dict[str, object]:
    """What the Rust crate sends to end a task."""
    return {
        "task_id": task["id"],
        "queue": task["queue"],
        "task_type": task["task_type"],
        "payload": task["payload"],
        **fields,
    }
