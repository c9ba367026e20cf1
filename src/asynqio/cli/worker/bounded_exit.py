"""Ends the process even if handlers that were given up still run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading

log = logging.getLogger("asynqio.worker")

#: Seconds for the process to exit by itself once its server has ended.
EXIT_TIMEOUT = 3.0


def exit_within(seconds: float, status: int) -> None:
    """Exit with `status` unless the process has ended within `seconds`.

    At its exit Python joins the threads of executors, and `asyncio.run` waits for coroutines that swallow their
    cancellation. The tasks of both are back in their queues by then and may run elsewhere.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}

    def end() -> None:
        main = threading.main_thread()
        left = [f"thread {thread.name!r}" for thread in threading.enumerate() if _delays(thread, main)]
        left += [f"coroutine {task.get_name()!r}" for task in tasks if not task.done()]
        log.warning(
            "exiting although these still run: %s",
            ", ".join(left) or "functions of atexit",
            extra={"event": "exit_forced", "left": left},
        )
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _delays(thread: threading.Thread, main: threading.Thread) -> bool:
    return thread.is_alive() and not thread.daemon and thread is not main
