"""A pipe from a supervisor to its children. It closes when the supervisor ends, however that happens.

A killed supervisor cannot forward signals; its children see the end of the pipe instead.
"""

from __future__ import annotations

import os
import signal
import threading

#: Environment variable: the descriptor of the child's end of the pipe.
PIPE_VARIABLE = "ASYNQIO_SUPERVISOR_PIPE"
#: Environment variable: the 1-based index of the child among its siblings.
INDEX_VARIABLE = "ASYNQIO_WORKER_INDEX"


def inherited_pipe() -> int | None:
    """The descriptor from the supervisor, or None without a supervisor. This process's own children do not inherit
    it."""
    text = os.environ.pop(PIPE_VARIABLE, None)
    if text is None:
        return None
    descriptor = int(text)
    os.set_inheritable(descriptor, False)
    return descriptor


def preceding_siblings() -> int:
    """The number of children of the same supervisor before this process."""
    return int(os.environ.pop(INDEX_VARIABLE, "1")) - 1


def watch(descriptor: int) -> None:
    """Send SIGTERM to this process once the supervisor is gone. Starts a thread that waits for it."""
    threading.Thread(target=_wait, args=(descriptor,), name="asynqio supervisor pipe", daemon=True).start()


def _wait(descriptor: int) -> None:
    if os.read(descriptor, 1) == b"":
        os.kill(os.getpid(), signal.SIGTERM)
