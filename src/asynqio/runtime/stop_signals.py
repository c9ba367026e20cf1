"""Signal handlers of a worker server or scheduler: TERM, HUP and INT end it, TSTP stops fetching."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def handle_signals(handlers: Mapping[str, Callable[[], object]]) -> Iterator[None]:
    """Call a function on the event loop for each named signal ("SIGTERM"), until the end of the block.

    Works in the main thread on Unix only; elsewhere nothing is installed. A HUP that the process ignores (`nohup`)
    stays ignored.
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
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
