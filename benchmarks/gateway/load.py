"""Loads a server: `python -m benchmarks.gateway.load ADDRESS echo|enqueue|work CONNECTIONS COUNT`.

One request at a time per connection. Prints JSON: requests (for `work`: tasks) per second, and the times of a request
(for `work`: of dequeue and done together) in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

from benchmarks.gateway.frames import Connection, connect, text_frame

ENQUEUE = text_frame(
    b'{"type":"enqueue","data":{"task_type":"email:send","payload":"eyJ0byI6ImFAYi5jIn0=",'
    b'"headers":{"content-type":"application/json"},"queue":"default","max_retry":3,"task_id":null}}'
)
DEQUEUE = text_frame(b'{"type":"dequeue","data":{"queues":["default"]}}')
#: Requests sent before the measurement.
WARM_UP = 200


class Client:
    """Sends the next request when the answer to the last one has arrived, until `count` are done by all."""

    left = 0
    times: list[float]
    done: asyncio.Future[None]

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.connection: Connection | None = None
        self.began = 0.0

    def start(self) -> None:
        assert self.connection is not None
        if Client.left <= 0:
            return
        Client.left -= 1
        self.began = time.perf_counter()
        self.connection.send(DEQUEUE if self.kind == "work" else ENQUEUE)

    def receive(self, text: bytes) -> None:
        assert self.connection is not None
        if text.startswith(b'{"type":"dequeue_result"'):
            task = json.loads(text)["data"]
            done = {"task_id": task["id"], "queue": "default", "task_type": "email:send", "payload": ""}
            self.connection.send(text_frame(json.dumps({"type": "done", "data": done}).encode()))
            return
        if text.startswith(b'{"type":"error"'):
            raise RuntimeError(text.decode())
        Client.times.append(time.perf_counter() - self.began)
        if len(Client.times) == Client.times_wanted:
            Client.done.set_result(None)
        self.start()

    times_wanted = 0


async def run(clients: list[Client], count: int) -> float:
    """Send `count` requests; returns the seconds that it took."""
    Client.left = Client.times_wanted = count
    Client.times = []
    Client.done = asyncio.get_running_loop().create_future()
    began = time.perf_counter()
    for client in clients:
        client.start()
    await asyncio.wait_for(Client.done, 300)
    return time.perf_counter() - began


async def fill(address: str, count: int) -> None:
    """Enqueue tasks, sent ahead."""
    answered = 0
    done = asyncio.get_running_loop().create_future()

    def receive(text: bytes) -> None:
        nonlocal answered
        answered += 1
        if answered == count:
            done.set_result(None)

    connection = await connect(address, receive)
    for start in range(0, count, 500):
        connection.send(ENQUEUE * min(500, count - start))
        await asyncio.sleep(0)
    await asyncio.wait_for(done, 300)


async def main(address: str, kind: str, connections: int, count: int) -> None:
    if kind == "work":
        await fill(address, count + WARM_UP)
    clients = [Client(kind) for _ in range(connections)]
    for client in clients:
        client.connection = await connect(address, client.receive)
    await run(clients, WARM_UP)
    seconds = await run(clients, count)
    times = sorted(Client.times)
    result = {
        "rate": count / seconds,
        "p50": times[len(times) // 2] * 1000,
        "p99": times[int(len(times) * 0.99)] * 1000,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
