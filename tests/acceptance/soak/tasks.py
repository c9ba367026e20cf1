"""The tasks of the soak test: every lane, and handlers that fork, leak and raise everything."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from asynqio import App, FixedRetry, RetryIn, RevokeTask, SkipRetry, Task, current
from asynqio.core.task.ids import new_id
from tests.acceptance import execution_log

QUEUES = [f"queue-{number}" for number in range(200)]
GROUPS = [f"group-{number}" for number in range(20_000)]

app = App(queue=QUEUES[0])


@app.task("brief")
async def brief(seconds: float = 0.0) -> None:
    with execution_log.execution():
        await asyncio.sleep(seconds)


@app.task("thread")
def in_thread(seconds: float = 0.0) -> None:
    with execution_log.execution():
        time.sleep(seconds)


@app.task("enqueues")
def enqueues_another() -> None:
    """As a Django view or a plain handler does."""
    with execution_log.execution():
        execution_log.write("accepted", brief.with_options(queue=random.choice(QUEUES)).enqueue_sync().id)


@app.task("process", run_in="process", retention=60)
def in_process(number: int) -> int:
    with execution_log.execution():
        return number * number


@app.task("process_async", run_in="process")
async def in_process_async() -> None:
    with execution_log.execution():
        await asyncio.sleep(0.001)


@app.task("forks")
def forks() -> None:
    """Leaves a child that lives a little longer than the attempt."""
    with execution_log.execution():
        subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(0.2)"], close_fds=False)


@app.task("forks_in_process", run_in="process")
def forks_in_process() -> None:
    with execution_log.execution():
        if not os.fork():
            time.sleep(0.2)
            os._exit(0)


@app.task("leaks")
async def leaks() -> None:
    """Leaves a file open, a task running and a thread."""
    with execution_log.execution():
        open(os.devnull)  # noqa: ASYNC230, SIM115
        app.leaked = asyncio.create_task(asyncio.sleep(0.5))  # type: ignore[attr-defined]
        threading.Thread(target=time.sleep, args=(0.2,)).start()


@app.task("leaks_memory", run_in="process")
def leaks_memory() -> None:
    with execution_log.execution():
        _leaked.append(b"x" * 1_000_000)


_leaked: list[bytes] = []


class Odd(BaseException):
    """Not an Exception."""


#: Made anew each time: an exception that is raised again keeps the frames of each time.
RAISED: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError("as intended"),
    "odd": Odd,
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "skip": SkipRetry,
    "revoke": RevokeTask,
    "again": lambda: RetryIn(1, counted=True),
    "recursion": RecursionError,
    "memory": MemoryError,
}


def _raise(name: str) -> None:
    execution_log.write("raised", current().id)
    raise RAISED[name]()


@app.task("raises", max_retry=1, retry=FixedRetry(1.0))
async def raises(name: str) -> None:
    _raise(name)


@app.task("raises_in_thread", max_retry=1, retry=FixedRetry(1.0))
def raises_in_thread(name: str) -> None:
    _raise(name)


@app.task("raises_in_process", run_in="process", max_retry=1, retry=FixedRetry(1.0))
def raises_in_process(name: str) -> None:
    _raise(name)


@app.task("merged")
async def merged(ids: Sequence[str]) -> None:
    execution_log.write("end", *ids)


@app.aggregate(grace=2, max_size=50, max_delay=10)
async def merge(group: str, tasks: Sequence[Task]) -> Task:
    """One task for all members; each payload is the id of its task."""
    return merged.task([task.load(str) for task in tasks])


#: How often each kind of task is made, and how.
KINDS: list[tuple[int, Callable[[], Task]]] = [
    (30, lambda: brief.task(random.uniform(0, 0.05))),
    (15, lambda: in_thread.task(random.uniform(0, 0.02))),
    (5, lambda: brief.with_options(process_in=random.uniform(0.1, 3)).task()),
    (20, lambda: Task.json("member", None, group=random.choice(GROUPS))),
    (3, lambda: raises.task(random.choice(list(RAISED)))),
    (3, lambda: raises_in_thread.task(random.choice(list(RAISED)))),
    (1, lambda: raises_in_process.task(random.choice(list(RAISED)))),
    (8, enqueues_another.task),
    (8, lambda: in_process.task(7)),
    (4, in_process_async.task),
    (1, forks.task),
    (1, forks_in_process.task),
    (1, leaks.task),
    (1, leaks_memory.task),
]


def some_tasks(count: int) -> list[Task]:
    """Random tasks, each with its own id in a random queue."""
    chosen = random.choices([make for _, make in KINDS], [weight for weight, _ in KINDS], k=count)
    tasks = []
    for make in chosen:
        task, id = make(), new_id(time.time())
        if task.type == "member":
            task.payload = msgspec.json.encode(id)
        task.options |= {"task_id": id, "queue": random.choice(QUEUES)}
        tasks.append(task)
    return tasks
