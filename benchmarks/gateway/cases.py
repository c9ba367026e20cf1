"""The cases: each loads a new server, by a client in another process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.gateway import servers
from benchmarks.gateway.frames import connect
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.stores import temporary_url

#: Connections of the rows.
CONNECTIONS = (1, 50)
IDLE = 1_000
ECHO = "bare echo"
KINDS = {"enqueue": "enqueue", "work": "dequeue + done"}
Server = Callable[[], AbstractContextManager[servers.Running]]


def row(kind: str, connections: int, broker: str, what: str = "/s") -> str:
    plural = "" if connections == 1 else "s"
    return f"{KINDS[kind]}, {connections} connection{plural}, {broker}, {what}"


async def load(address: str, kind: str, connections: int, count: int) -> dict[str, float]:
    """Run the load program."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.gateway.load", address, kind, str(connections), str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load program ended with status {process.returncode}")
    found: dict[str, float] = json.loads(output)
    return found


def cases() -> list[Case]:
    found = []
    for broker in ("memory", "redis"):
        for kind in KINDS:
            for connections in CONNECTIONS:
                found.append(_gateway(broker, kind, connections))
                found.append(_echo(broker, kind, connections))
    return [*found, Case(OURS, f"{IDLE:,} idle connections", _idle, once=True)]


def _count(size: Size, connections: int) -> int:
    return size.one_by_one if connections == 1 else size.callers


def _gateway(broker: str, kind: str, connections: int) -> Case:
    async def run(size: Size) -> Values:
        with temporary_url(broker) as url, servers.gateway(url) as server:
            found = await load(server.address, kind, connections, _count(size, connections))
        return _values(kind, connections, broker, found)

    return Case(OURS, f"{KINDS[kind]}, {connections} connections, {broker}", run)


def _echo(broker: str, kind: str, connections: int) -> Case:
    """The same number of frames: two for dequeue and done."""

    async def run(size: Size) -> Values:
        with servers.echo() as server:
            found = await load(server.address, "echo", connections, _count(size, connections))
        frames = 2 if kind == "work" else 1
        found = {"rate": found["rate"] / frames, "p50": found["p50"] * frames, "p99": found["p99"] * frames}
        return _values(kind, connections, broker, found)

    return Case(ECHO, f"{KINDS[kind]}, {connections} connections, {broker}", run)


def _values(kind: str, connections: int, broker: str, found: dict[str, float]) -> Values:
    return {
        row(kind, connections, broker): found["rate"],
        row(kind, connections, broker, "p50 ms"): found["p50"],
        row(kind, connections, broker, "p99 ms"): found["p99"],
    }


async def _idle(size: Size) -> Values:
    with servers.gateway("memory://") as server:
        before = server.resident()
        open = [await connect(server.address, lambda text: None) for _ in range(IDLE)]
        used, cpu = server.resident() - before, server.cpu_seconds()
        await asyncio.sleep(size.idle_seconds)
        cpu = server.cpu_seconds() - cpu
        for connection in open:
            assert connection.transport is not None
            connection.transport.close()
    return {
        f"{IDLE:,} idle connections, KB each": used / 1024 / IDLE,
        f"{IDLE:,} idle connections, CPU, %": 100 * cpu / size.idle_seconds,
    }
