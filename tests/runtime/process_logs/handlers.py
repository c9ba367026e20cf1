"""Handlers that log in a task process."""

from __future__ import annotations

import logging
import os
import threading

from asynqio import Task, current

log = logging.getLogger("shop")


def log_at_all_levels(task: Task) -> int:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        log.log(level, "level %s", logging.getLevelName(level))
    logging.getLogger("shop.quiet").warning("too quiet")
    return os.getpid()


def log_anything(task: Task) -> str:
    try:
        raise KeyError("boxes")
    except KeyError:
        log.exception("failed %s", {"a": 1}, extra={"boxes": 3, "lock": threading.Lock()}, stack_info=True)
    thread = threading.Thread(target=log.warning, args=("from a thread",))
    thread.start()
    thread.join()
    return current().id


def log_after_own_setup(task: Task) -> bool:
    """A module that adds a handler to the root logger."""
    written: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        log.warning("handled here")
    finally:
        logging.getLogger().removeHandler(handler)
    return written == ["handled here"]


def log_in_a_fork(task: Task) -> int:
    pid = os.fork()
    if not pid:
        log.warning("from a fork")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def log_much(task: Task) -> None:
    for number in range(5_000):
        log.warning("line %d %s", number, "x" * 200)
