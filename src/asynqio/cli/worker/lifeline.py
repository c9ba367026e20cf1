"""A pipe between a supervisor and its children: it ends when the supervisor does, however that happens.

A killed supervisor cannot forward a signal any more; the children see the end of the pipe instead.
"""

from __future__ import annotations

import os
import signal
import threading

#: Tells a child which descriptor is its end of the pipe.
VARIABLE = "ASYNQIO_LIFELINE"
#: Tells it the how manieth of its siblings it is, from 1 up.
SLOT = "ASYNQIO_SLOT"


def inherited() -> int | None:
    """The descriptor that a supervisor left for this process, kept from its own children from now on."""
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    descriptor = int(text)
    os.set_inheritable(descriptor, False)
    return descriptor


def siblings_before() -> int:
    """How many children of the same supervisor come before this process."""
    return int(os.environ.pop(SLOT, "1")) - 1


def watch(descriptor: int) -> None:
    """Ask this process to end (SIGTERM) when the supervisor is gone. Once only; a thread waits for it."""
    threading.Thread(target=_wait, args=(descriptor,), name="asynqio lifeline", daemon=True).start()


def _wait(descriptor: int) -> None:
    if os.read(descriptor, 1) == b"":
        os.kill(os.getpid(), signal.SIGTERM)
