"""Runs blocking calls in threads that user code cannot fill."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_blocking(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but in a new daemon thread instead of the default executor.

    User code may fill the default executor for any time; a reconnect must not wait for it. The process does not wait
    for the thread at its exit. For rare calls: a thread costs about 0.1 ms.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def resolve(value: T) -> None:
        if not answer.done():
            answer.set_result(value)

    def fail(error: BaseException) -> None:
        if not answer.done():
            answer.set_exception(error)

    def work() -> None:
        with contextlib.suppress(
            RuntimeError
        ):  # from the loop: it is closed, and nothing waits for the answer
            try:
                value = context.run(call, *args, **kwargs)
            except BaseException as error:
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(resolve, value)

    threading.Thread(target=work, name="asynqio blocking call", daemon=True).start()
    return await answer
