# mypy: ignore-errors
"""Shared code of the programs of peers, which run in their own virtual environments without asynqio.

    PROGRAM put  '{"url": …, "count": 1000, "how": "one" | "callers" | "threads" | "bulk", "callers": 50}'
    PROGRAM work '{"url": …, "slots": 50, "samples": FILE}'
    PROGRAM send '{"url": …, "count": 100, "samples": FILE, "pause": [0.01, 0.05]}'

`put` enqueues tasks and prints tasks per second. `work` prints "ready" after all imports and starts on a line of
input. `send` enqueues one task at a time, each after the previous one was picked up and a pause. Handlers append
eight bytes to the sample file: `mark` the time of the run, `age` the age of the task in seconds.
"""

import asyncio
import json
import os
import random
import struct
import sys
import threading
import time
from urllib.parse import urlsplit

command = sys.argv[1]
args = json.loads(sys.argv[2])
host, port = urlsplit(args["url"]).hostname, urlsplit(args["url"]).port
#: The payload of all systems.
PAYLOAD = {"to": "ann@example.org", "subject": "Welcome", "template": "welcome-2026", "customer": 4711}
#: Tasks per bulk call.
CHUNK = 1_000

_samples = os.open(args["samples"], os.O_APPEND | os.O_WRONLY) if command == "work" else -1


def mark():
    os.write(_samples, struct.pack("<d", time.time()))


def age(sent):
    os.write(_samples, struct.pack("<d", time.time() - sent))


def wait_for_start():
    """Report that all imports are done and wait for the start."""
    print("ready", flush=True)
    sys.stdin.readline()


def put(one, many=None):
    """Enqueue with blocking calls: `callers` are threads."""
    from concurrent.futures import ThreadPoolExecutor

    count, how = args["count"], args["how"]
    began = time.perf_counter()
    if how == "one":
        for _ in range(count):
            one(PAYLOAD)
    elif how == "bulk":
        for start in range(0, count, CHUNK):
            many([PAYLOAD] * min(CHUNK, count - start))
    else:
        callers = args["callers"]
        each = count // callers
        ready = threading.Barrier(callers + 1)

        def caller():
            one(PAYLOAD)  # connect before the measurement starts
            ready.wait()
            for _ in range(each):
                one(PAYLOAD)

        with ThreadPoolExecutor(callers) as pool:
            ends = [pool.submit(caller) for _ in range(callers)]
            ready.wait()
            began = time.perf_counter()
            for end in ends:
                end.result()
    print(count / (time.perf_counter() - began))


async def put_async(one, many=None):
    count, how = args["count"], args["how"]
    if how == "callers":  # connect before the measurement starts
        await asyncio.gather(*[one(PAYLOAD) for _ in range(args["callers"])])
    began = time.perf_counter()
    if how == "one":
        for _ in range(count):
            await one(PAYLOAD)
    elif how == "bulk":
        for start in range(0, count, CHUNK):
            await many([PAYLOAD] * min(CHUNK, count - start))
    else:
        each = count // args["callers"]

        async def caller():
            for _ in range(each):
                await one(PAYLOAD)

        await asyncio.gather(*[caller() for _ in range(args["callers"])])
    print(count / (time.perf_counter() - began))


def _picked_up():
    return os.stat(args["samples"]).st_size // 8


def send(one):
    for sent in range(args["count"]):
        while _picked_up() < sent:
            time.sleep(0.002)
        time.sleep(random.uniform(*args["pause"]))
        one({"sent": time.time()})


async def send_async(one):
    for sent in range(args["count"]):
        while _picked_up() < sent:  # noqa: ASYNC110 - the file has no event
            await asyncio.sleep(0.002)
        await asyncio.sleep(random.uniform(*args["pause"]))
        await one({"sent": time.time()})
