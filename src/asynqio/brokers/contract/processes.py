"""Processes: what a forked child resets, and whether this is a task process."""

from __future__ import annotations

import os
import sys
from typing import Protocol
from weakref import WeakSet

from asynqio.core.task.ids import RANDOM_PARTS

#: The name of every task process, in `multiprocessing`.
TASK_PROCESS = "asynqio task process"


class Forkable(Protocol):
    """An object that a forked child cannot use as it is: its threads, locks or connections belong to the parent."""

    def _after_fork(self) -> None:
        """Reset the object. Called in the child, where only the thread that forked exists."""
        ...


_objects: WeakSet[Forkable] = WeakSet()
#: What a child must not finalize: a finalizer would close or unregister what the parent uses.
_kept: list[object] = []
_forked = False


def reset_after_fork(thing: Forkable) -> None:
    """Call `thing._after_fork()` in each forked child."""
    _objects.add(thing)


def keep(*things: object) -> None:
    """In a forked child: never finalize these objects of the parent."""
    _kept.append(things)


def is_forked() -> bool:
    """Whether this process was forked after asynqio was imported."""
    return _forked


def _reset() -> None:
    global _forked
    _forked = True
    for thing in list(_objects):
        thing._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
reset_after_fork(RANDOM_PARTS)


def is_task_process() -> bool:
    """Whether this process runs handlers of the process lane."""
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing is not None and multiprocessing.current_process().name == TASK_PROCESS
