"""`python -m benchmarks.redis.wake_up [--quick]`: ways to notify an idle worker of a new task in Redis.

Compares four ways to wait for a push to the list of pending tasks by any producer in any language:

* blocking peek: `BLMOVE pending pending RIGHT RIGHT` on a separate connection, which removes no task;
* tracking: `CLIENT TRACKING ON BCAST PREFIX` (RESP3), on the connection that also sends commands;
* notifications: keyspace events, which must be enabled in the server, on the same connection;
* polling: a query every 5 ms.

Each waiter is a separate process. This process enqueues tasks with a script, as clients do, at random times.
"signal" is the age of the task when the waiter is notified, "claimed" its age after the script call that claims it.
Then the system is idle for some seconds. Finally another worker drains a queue of 20,000 tasks, of which subscribed
waiters receive notifications. Results are medians of five rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import struct
import sys
import time
from functools import partial
from typing import Any

import msgspec
from redis import Redis

from asynqio import Task
from benchmarks.cases.idle import SETTLE, cpu_seconds
from benchmarks.cases.latency import LONGEST, SHORTEST, WARM_UP, percentiles
from benchmarks.harness import machine, report, row_names, run_cases
from benchmarks.harness.case import FULL, QUICK, Case, Size, Values
from benchmarks.harness.samples import SampleFile, sample_file
from benchmarks.harness.stores import temporary_url
from benchmarks.peers.bare_redis import (
    PREFIX,
    BareClient,
    Drain,
    PipelinedConnection,
    TaskMessage,
    bare_client,
    connected,
    fill,
)
from benchmarks.redis import server
from benchmarks.redis.command_rate import command_rate

PENDING = f"{PREFIX}pending"
ROUNDS = 5
POLL = 0.005
#: Longest time in seconds for which a blocking peek blocks.
BLOCK = 5
#: Tasks that another worker drains while the waiter is subscribed.
BUSY = 20_000


class Waiter:
    """Waits in one of the ways; `wait` returns if there may be a task."""

    def __init__(self, url: str, redis: BareClient) -> None:
        self.url = url
        self.redis = redis
        self.signals = 0

    async def start(self) -> None:
        """Subscribe."""

    async def wait(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        """Stop waiting: the worker is busy or stops."""


class Peek(Waiter):
    peeking: PipelinedConnection

    async def start(self) -> None:
        self.peeking = await connected(self.url)

    async def wait(self) -> None:
        while await self.peeking.send("BLMOVE", PENDING, PENDING, "RIGHT", "RIGHT", BLOCK) is None:
            pass
        self.signals += 1

    async def stop(self) -> None:
        self.peeking.close()


class Subscriber(Waiter):
    """Sets an event when the server pushes a message."""

    async def start(self) -> None:
        self.notified = asyncio.Event()
        self.redis.connection.on_push = self.received
        await self.redis.connection.send("HELLO", 3)
        await self.subscribe()

    async def subscribe(self) -> None:
        raise NotImplementedError

    def received(self, message: Any) -> None:
        self.signals += 1
        self.notified.set()

    async def wait(self) -> None:
        await self.notified.wait()
        self.notified.clear()


class Tracking(Subscriber):
    async def subscribe(self) -> None:
        await self.redis.connection.send("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", PENDING, "NOLOOP")


class Notifications(Subscriber):
    async def subscribe(self) -> None:
        await self.redis.connection.send("CONFIG", "SET", "notify-keyspace-events", "Kl")
        # The reply to SUBSCRIBE is itself a pushed message.
        subscribed = asyncio.get_running_loop().create_future()
        self.redis.connection.on_push = subscribed.set_result
        unanswered = self.redis.connection.send("SUBSCRIBE", f"__keyspace@0__:{PENDING}")
        await subscribed
        self.redis.connection.forget(unanswered)
        self.redis.connection.on_push = self.received

    def received(self, message: Any) -> None:
        self.signals += 1
        if message[-1] in (b"lpush", b"rpush"):
            self.notified.set()


class Polling(Waiter):
    async def wait(self) -> None:
        await asyncio.sleep(POLL)


WAYS: dict[str, type[Waiter]] = {
    "blocking peek": Peek,
    "tracking": Tracking,
    "notifications": Notifications,
    "polling 5 ms": Polling,
}


async def waiting(way: str, url: str, samples: int) -> None:
    """The process of a waiter: writes the age of each task at the signal and when claimed, in turn.

    After the first line of input it claims no more tasks; after the second it prints the number of signals since.
    """
    async with bare_client(url) as redis:
        waiter = WAYS[way](url, redis)
        await waiter.start()
        print("ready", flush=True)
        taking = asyncio.create_task(_take(waiter, redis, samples))
        await asyncio.to_thread(sys.stdin.readline)
        taking.cancel()
        await waiter.stop()
        before = waiter.signals
        print("stopped", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(waiter.signals - before, flush=True)


async def _take(waiter: Waiter, redis: BareClient, samples: int) -> None:
    while True:
        await waiter.wait()
        notified_at = time.time()
        while messages := await redis.claim(1):
            claimed_at = time.time()
            message = TaskMessage.FromString(messages[0])
            sent = msgspec.json.decode(message.payload, type=float)
            os.write(samples, struct.pack("<dd", notified_at - sent, claimed_at - sent))
            await redis.done([message.id])


async def _measure(way: str, size: Size) -> Values:
    with temporary_url("redis") as url, sample_file() as samples:
        waiter = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.redis.wake_up", "--wait", way, url, str(samples.path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert waiter.stdin is not None
        assert waiter.stdout is not None
        try:
            assert await waiter.stdout.readline() == b"ready\n", "the waiter did not start"
            async with bare_client(url) as redis:
                await _send(redis, samples, size.samples + WARM_UP)
                found = _ages(samples)
                found |= await _idle(url, waiter.pid, size.idle_seconds)
                waiter.stdin.write(b"\n")
                await waiter.stdout.readline()
                await fill(url, BUSY)
                found["drain by another worker, tasks/s"] = await Drain(
                    redis, row_names.COMMON_SLOTS, BUSY
                ).run()
                waiter.stdin.write(b"\n")
                found[f"signals during a drain of {BUSY:,} tasks"] = float(await waiter.stdout.readline())
            return found
        finally:
            waiter.kill()
            await waiter.wait()


async def _send(redis: BareClient, samples: SampleFile, count: int) -> None:
    for sent in range(count):
        await samples.wait_for(2 * sent)
        await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
        await redis.put([Task.json("bench:age", time.time())])
    await samples.wait_for(2 * count)


def _ages(samples: SampleFile) -> Values:
    values = samples.values()[2 * WARM_UP :]
    return percentiles("signal", values[::2]) | percentiles("claimed", values[1::2])


async def _idle(url: str, waiter: int, seconds: float) -> Values:
    with Redis.from_url(url) as redis:
        server_pid: int = redis.info("server")["process_id"]
    await asyncio.sleep(SETTLE)
    before = cpu_seconds(waiter), cpu_seconds(server_pid)
    rate = await command_rate(url, seconds)
    after = cpu_seconds(waiter), cpu_seconds(server_pid)
    return {
        "idle waiter, CPU, %": 100 * (after[0] - before[0]) / seconds,
        "idle server, CPU, %": 100 * (after[1] - before[1]) / seconds,
        "commands/s": rate.heartbeats + rate.others,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.redis.wake_up", description="Compare ways to notify an idle worker."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="smaller sizes and one round: a quick check, not a result to publish",
    )
    parser.add_argument("--wait", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.wait:
        way, url, samples = options.wait
        asyncio.run(waiting(way, url, os.open(samples, os.O_APPEND | os.O_WRONLY)))
        return
    size = QUICK if options.quick else msgspec.structs.replace(FULL, rounds=ROUNDS, idle_seconds=5.0)
    facts = {**machine.facts(), **server.facts()}
    cases = [Case(way, "wake-up", partial(_measure, way)) for way in WAYS]
    results = asyncio.run(run_cases.run("wake-up", cases, size))
    lines = [["", *WAYS]]
    for row, systems in results.items():
        lines.append([row, *[report.number(systems[way]) for way in WAYS]])
    print(report.headline(facts), report.lay_out(lines), sep="\n\n")


if __name__ == "__main__":
    main()
