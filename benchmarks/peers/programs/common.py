# mypy: ignore-errors
"""What the programs of all peers share. Run by each peer's own Python; knows nothing of asynqio.

    PROGRAM put  '{"url": …, "count": 1000, "how": "one" | "callers" | "bulk", "callers": 50}'
    PROGRAM work '{"url": …, "slots": 50, "journal": FILE}'
    PROGRAM send '{"url": …, "count": 100, "journal": FILE, "pause": [0.01, 0.05]}'

`put` prints tasks per second. `work` says "ready" when everything is imported and starts on a line of input.
`send` puts in one task at a time, each after the last one was picked up and a pause. Handlers append eight
bytes to the journal: `mark` the time of the run, `age` how old the task is in seconds.
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

what = sys.argv[1]
args = json.loads(sys.argv[2])
host, port = urlsplit(args["url"]).hostname, urlsplit(args["url"]).port
#: The same as everybody's.
PAYLOAD = {"to": "ann@example.org", "subject": "Welcome", "template": "welcome-2026", "customer": 4711}
#: Tasks per call of `enqueue_many` and the like.
CHUNK = 1_000

_journal = os.open(args["journal"], os.O_APPEND | os.O_WRONLY) if what == "work" else -1


def mark():
    os.write(_journal, struct.pack("<d", time.time()))


def age(sent):
    os.write(_journal, struct.pack("<d", time.time() - sent))


def stand_by():
    """Everything is there: until we may start."""
    print("ready", flush=True)
    sys.stdin.readline()


def put(one, many=None):
    """For those whose calls block: `callers` are threads."""
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
            one(PAYLOAD)  # everybody's connection is there before the clock starts
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
    if how == "callers":  # everybody's connection is there before the clock starts
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
    return os.stat(args["journal"]).st_size // 8


def send(one):
    for sent in range(args["count"]):
        while _picked_up() < sent:
            time.sleep(0.002)
        time.sleep(random.uniform(*args["pause"]))
        one({"sent": time.time()})


async def send_async(one):
    for sent in range(args["count"]):
        while _picked_up() < sent:  # noqa: ASYNC110 - it is a file that grows
            await asyncio.sleep(0.002)
        await asyncio.sleep(random.uniform(*args["pause"]))
        await one({"sent": time.time()})
