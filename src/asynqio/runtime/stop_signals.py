"""Signal handlers of a worker server or scheduler: TERM, HUP and INT end it, TSTP stops fetching."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

#: The signals that this process handles now.
_handled: set[signal.Signals] = set()
#: The signal mask of each thread that forks, from before the fork.
_masks = threading.local()


@contextlib.contextmanager
def handle_signals(handlers: Mapping[str, Callable[[], object]]) -> Iterator[None]:
    """Call a function on the event loop for each named signal ("SIGTERM"), until the end of the block.

    Works in the main thread on Unix only; elsewhere nothing is installed. A HUP that the process ignores (`nohup`)
    stays ignored. Forks do not inherit the handlers.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGTSTP"):
        yield
        return
    loop = asyncio.get_running_loop()
    numbers = {signal.Signals[name]: handler for name, handler in handlers.items()}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.pop(signal.SIGHUP, None)
    for number, handler in numbers.items():
        loop.add_signal_handler(number, handler)
    _handled.update(numbers)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
        _handled.difference_update(numbers)


def _before_fork() -> None:
    # A signal that reaches the fork before its handlers are reset would run those of this process.
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _handled)


def _after_fork_in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _after_fork_in_child() -> None:
    """Reset the signals: the inherited handlers would send them to the event loop of the parent and ignore them, so
    that `multiprocessing.Pool.terminate` in a handler would stop the server and wait for ever."""
    if _handled:
        signal.set_wakeup_fd(-1)
    for number in _handled:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _handled.clear()
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
