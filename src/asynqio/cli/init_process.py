"""Makes this process an init, as process 1 of a container must be: the command runs in a child."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType

#: Signals for the command. Python cannot catch KILL and STOP; the others concern this process alone.
_FORWARDED = [
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGCONT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
]


def run_as_init() -> None:
    """Fork, and return in the child.

    The parent forwards signals to the child, reaps orphaned processes, which the kernel hands to process 1, and exits
    as the child does. Call it before any thread is started.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    child = os.fork()
    if child == 0:
        _take_terminal()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        return

    def forward(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ends just now
            os.kill(child, number)

    for number in _FORWARDED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _take_terminal() -> None:
    """Start a process group, and make it the foreground group of the terminal, if there is one: Ctrl-C then reaches
    the child once, and not through the parent as well."""
    os.setpgid(0, 0)
    if os.isatty(0):
        background = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, background)
