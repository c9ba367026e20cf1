"""`python -m benchmarks.redis_wake [--quick]`: how an idle worker may learn that there is a task in Redis.

Four ways to wait for a push onto the list of pending tasks, by any producer in any language:

* blocking peek: `BLMOVE pending pending RIGHT RIGHT` on a connection of its own, which takes nothing;
* tracking: `CLIENT TRACKING ON BCAST PREFIX` (RESP3), on the connection that works too;
* notifications: keyspace events (they must be switched on in the server), likewise on one connection;
* polling: ask every 5 ms.

Each waits in a process of its own. This process puts tasks in with a script, as clients do, at random moments.
"signal" is the age of the task when the waiter knows of it, "claimed" when it has it in hand (one script call
more). Then nothing happens for some seconds, and last another worker drains a full queue of 20,000 tasks
beside it: those that were subscribed are told of it, want it or not. Medians of five rounds.
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
from benchmarks import machine, redis_server, report, rounds, rows
from benchmarks.case import FULL, QUICK, Case, Figures, Size
from benchmarks.idle import SETTLE, cpu_seconds
from benchmarks.journal import Journal, fresh_journal
from benchmarks.latency import LONGEST, SHORTEST, WARM_UP, figures
from benchmarks.peers.bare_redis import PREFIX, Drain, Pipe, TaskMessage, Wall, connected, fill, wall
from benchmarks.place import fresh_url
from benchmarks.traffic import traffic

PENDING = f"{PREFIX}pending"
ROUNDS = 5
POLL = 0.005
#: Seconds that a blocking peek blocks at most.
BLOCK = 5
#: Tasks that another worker drains while the waiter listens.
BUSY = 20_000


class Waiter:
    """Waits in one of the ways; `wait` returns when there may be a task."""

    def __init__(self, url: str, redis: Wall) -> None:
        self.url = url
        self.redis = redis
        self.signals = 0

    async def start(self) -> None:
        """Be told from now on."""

    async def wait(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        """There is nothing to wait for: the worker has its hands full, or it goes."""


class Peek(Waiter):
    peeking: Pipe

    async def start(self) -> None:
        self.peeking = await connected(self.url)

    async def wait(self) -> None:
        while await self.peeking.say("BLMOVE", PENDING, PENDING, "RIGHT", "RIGHT", BLOCK) is None:
            pass
        self.signals += 1

    async def stop(self) -> None:
        self.peeking.close()


class Listening(Waiter):
    """Sets an event at what the server says unasked."""

    async def start(self) -> None:
        self.told = asyncio.Event()
        self.redis.pipe.pushed = self.heard
        await self.redis.pipe.say("HELLO", 3)
        await self.subscribe()

    async def subscribe(self) -> None:
        raise NotImplementedError

    def heard(self, message: Any) -> None:
        self.signals += 1
        self.told.set()

    async def wait(self) -> None:
        await self.told.wait()
        self.told.clear()


class Tracking(Listening):
    async def subscribe(self) -> None:
        await self.redis.pipe.say("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", PENDING, "NOLOOP")


class Notifications(Listening):
    async def subscribe(self) -> None:
        await self.redis.pipe.say("CONFIG", "SET", "notify-keyspace-events", "Kl")
        # The answer to SUBSCRIBE is itself something the server says unasked.
        subscribed = asyncio.get_running_loop().create_future()
        self.redis.pipe.pushed = subscribed.set_result
        unanswered = self.redis.pipe.say("SUBSCRIBE", f"__keyspace@0__:{PENDING}")
        await subscribed
        self.redis.pipe.forget(unanswered)
        self.redis.pipe.pushed = self.heard

    def heard(self, message: Any) -> None:
        self.signals += 1
        if message[-1] in (b"lpush", b"rpush"):
            self.told.set()


class Polling(Waiter):
    async def wait(self) -> None:
        await asyncio.sleep(POLL)


WAYS: dict[str, type[Waiter]] = {
    "blocking peek": Peek,
    "tracking": Tracking,
    "notifications": Notifications,
    "polling 5 ms": Polling,
}


async def waiting(way: str, url: str, journal: int) -> None:
    """The waiter's process: writes the age of each task at the signal and when claimed, one after the other.

    After the first line of input it takes no more tasks, after the second it says what it heard since.
    """
    async with wall(url) as redis:
        waiter = WAYS[way](url, redis)
        await waiter.start()
        print("ready", flush=True)
        taking = asyncio.create_task(_take(waiter, redis, journal))
        await asyncio.to_thread(sys.stdin.readline)
        taking.cancel()
        await waiter.stop()
        before = waiter.signals
        print("away", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(waiter.signals - before, flush=True)


async def _take(waiter: Waiter, redis: Wall, journal: int) -> None:
    while True:
        await waiter.wait()
        told = time.time()
        while messages := await redis.claim(1):
            has = time.time()
            message = TaskMessage.FromString(messages[0])
            sent = msgspec.json.decode(message.payload, type=float)
            os.write(journal, struct.pack("<dd", told - sent, has - sent))
            await redis.done([message.id])


async def _measure(way: str, size: Size) -> Figures:
    with fresh_url("redis") as url, fresh_journal() as journal:
        waiter = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.redis_wake", "--wait", way, url, str(journal.path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert waiter.stdin is not None
        assert waiter.stdout is not None
        try:
            assert await waiter.stdout.readline() == b"ready\n", "the waiter did not start"
            async with wall(url) as redis:
                await _send(redis, journal, size.samples + WARM_UP)
                found = _ages(journal)
                found |= await _idle(url, waiter.pid, size.idle_seconds)
                waiter.stdin.write(b"\n")
                await waiter.stdout.readline()
                await fill(url, BUSY)
                found["another drains meanwhile, tasks/s"] = await Drain(redis, rows.COMMON_SLOTS, BUSY).run()
                waiter.stdin.write(b"\n")
                found[f"signals heard while {BUSY:,} tasks go by"] = float(await waiter.stdout.readline())
            return found
        finally:
            waiter.kill()
            await waiter.wait()


async def _send(redis: Wall, journal: Journal, count: int) -> None:
    for sent in range(count):
        await journal.until(2 * sent)
        await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
        await redis.put([Task.json("bench:age", time.time())])
    await journal.until(2 * count)


def _ages(journal: Journal) -> Figures:
    values = journal.values()[2 * WARM_UP :]
    return figures("signal", values[::2]) | figures("claimed", values[1::2])


async def _idle(url: str, waiter: int, seconds: float) -> Figures:
    with Redis.from_url(url) as redis:
        server: int = redis.info("server")["process_id"]
    await asyncio.sleep(SETTLE)
    before = cpu_seconds(waiter), cpu_seconds(server)
    seen = await traffic(url, seconds)
    after = cpu_seconds(waiter), cpu_seconds(server)
    return {
        "idle waiter, CPU, %": 100 * (after[0] - before[0]) / seconds,
        "idle server, CPU, %": 100 * (after[1] - before[1]) / seconds,
        "commands/s": seen.heartbeats + seen.others,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.redis_wake", description="How an idle worker may learn of a task in Redis."
    )
    parser.add_argument("--quick", action="store_true", help="smaller and once: for a look, not for a claim")
    parser.add_argument("--wait", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.wait:
        way, url, journal = options.wait
        asyncio.run(waiting(way, url, os.open(journal, os.O_APPEND | os.O_WRONLY)))
        return
    size = QUICK if options.quick else msgspec.structs.replace(FULL, rounds=ROUNDS, idle_seconds=5.0)
    facts = {**machine.facts(), **redis_server.facts()}
    cases = [Case(way, "wake-up", partial(_measure, way)) for way in WAYS]
    results = asyncio.run(rounds.run("wake-up", cases, size))
    lines = [["", *WAYS]]
    for row, systems in results.items():
        lines.append([row, *[report.number(systems[way]) for way in WAYS]])
    print(report.headline(facts), report.lay_out(lines), sep="\n\n")


if __name__ == "__main__":
    main()
