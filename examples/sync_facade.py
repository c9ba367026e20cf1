"""Sync: the same names for code without asyncio (a script, a Django view, a notebook)."""

import asyncio
import threading

from asynqio import App, Server, Task, TaskState
from asynqio.sync import Client, Inspector

URL = "memory://sync"
app = App(URL, retention=60)


@app.task("double")
def double(number: int) -> int:
    return 2 * number


async def work(ready: threading.Event, done: threading.Event) -> None:
    """Runs a worker in a thread; usually it is another process: `asynqio worker module:app`."""
    async with Server(URL).running(app.mux):
        ready.set()
        await asyncio.to_thread(done.wait)


def main() -> None:
    handle = double.enqueue_sync(21)  # no event loop needed
    with Client(URL, retention=60) as client, Inspector(URL) as inspector:
        other = client.enqueue(Task.json("double", {"number": 4}))
        print("pending:", len(inspector.tasks("default", TaskState.PENDING)))

        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(work(ready, done)))
        thread.start()
        ready.wait()
        print(handle.result(timeout=5), client.result(other, int, timeout=5))
        print("completed:", inspector.queue("default").completed)
        done.set()
        thread.join()


if __name__ == "__main__":
    main()

# Output:
# pending: 2
# 42 8
# completed: 2
