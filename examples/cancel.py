"""Cancel: stop a running task, in a coroutine and in a thread."""

import asyncio
import threading
import time

from asynqio import App, SkipRetry, TaskCancelled, TaskFailed, current

app = App("memory://", retention=60)
coroutine_runs = asyncio.Event()
thread_runs = threading.Event()


@app.task("coroutine")
async def coroutine() -> None:
    coroutine_runs.set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("coroutine: cleaning up")
        raise SkipRetry("cancelled, and that is final") from None  # without SkipRetry, it would be retried


@app.task("thread")
def thread() -> None:
    thread_runs.set()
    while True:  # a thread cannot be interrupted: it must check
        try:
            current().check_cancelled()
        except TaskCancelled:
            print("thread: cleaning up")
            raise SkipRetry("cancelled, and that is final") from None
        time.sleep(0.01)


async def main() -> None:
    async with app, app.running():
        first = await coroutine.enqueue()
        await asyncio.wait_for(coroutine_runs.wait(), 5)
        second = await thread.enqueue()
        await asyncio.to_thread(thread_runs.wait, 5)
        for handle in (first, second):
            await handle.cancel()
            try:
                await handle.result(timeout=5)
            except TaskFailed as failed:
                print("ended:", failed.error)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# coroutine: cleaning up
# ended: cancelled, and that is final
# thread: cleaning up
# ended: cancelled, and that is final
