"""The main function of a task process: it runs one task at a time and talks to the server through a pipe."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import msgspec

from asynqio.core.attempts.record import LogLine
from asynqio.core.lifecycle import error_text
from asynqio.core.task import payload as payloads
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Task
from asynqio.errors import InitializerFailed, NotSerializable, SkipRetry
from asynqio.runtime.attempts import context
from asynqio.runtime.attempts.log_capture import Capture
from asynqio.runtime.attempts.log_context import add_to_root_handlers
from asynqio.runtime.attempts.output_writer import PendingWrite
from asynqio.runtime.lanes.forward_logs import ForwardLogs
from asynqio.runtime.lanes.raised import Raised
from asynqio.runtime.lanes.target import Target, finish, process_loop
from asynqio.runtime.parent import Parent

#: A task process ignores these: the server handles them.
IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Setup(msgspec.Struct, frozen=True):
    """What a task process gets at its start."""

    #: The levels of the server's loggers.
    log_levels: Mapping[str, int] = {}
    #: The lowest level of log records that are kept with the attempt; None: none are kept.
    capture_level: int | None = None
    #: Called once, before the first task.
    initializer: Target | None = None


class Job(msgspec.Struct, frozen=True):
    """One task for a task process."""

    target: Target
    message: TaskMessage
    deadline: float


class Ready(msgspec.Struct, frozen=True):
    """The process can take jobs."""


class Started(msgspec.Struct, frozen=True):
    """The handler is about to be called."""


class Written(msgspec.Struct, frozen=True):
    """The handler wrote a result, progress or a log line."""

    result: bytes | None = None
    progress: bytes | None = None
    line: LogLine | None = None


class Logged(msgspec.Struct, frozen=True):
    """A log record of the process."""

    fields: Mapping[str, Any]


class Ended(msgspec.Struct, frozen=True):
    """The handler returned or raised."""

    result: bytes | None = None
    raised: Raised | None = None
    #: Bytes of memory that the process holds now.
    memory: int = 0
    #: The process takes no more tasks: its initializer failed.
    broken: bool = False


class _Pipe:
    """The end of the pipe in a task process; its threads may send at the same time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: Ready | Started | Written | Logged | Ended) -> None:
        with self._sending:
            self._connection.send(message)

    def receive(self) -> Job | None:
        """The next job; None at the end."""
        try:
            job: Job | None = self._connection.recv()
        except EOFError:
            return None
        return job


def main(connection: Connection, setup: Setup) -> None:
    """Run tasks until the pipe is closed. The process exits when its server does."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # the server ends what is left of the group
    _ignore_signals()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    pipe = _Pipe(connection)
    ForwardLogs(lambda fields: pipe.send(Logged(fields))).install(setup.log_levels)
    if setup.capture_level is not None:
        Capture(None).install(setup.capture_level)
    pipe.send(Ready())
    try:
        _serve(pipe, setup.initializer)
    finally:
        process_loop.close()


def _ignore_signals() -> None:
    """Ignore INT and TERM here, but not in what handlers start: with SIG_IGN, programs would ignore them too."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, _ignore)
        if hasattr(signal, "siginterrupt"):
            signal.siginterrupt(number, False)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_block_signals, after_in_parent=_unblock_signals, after_in_child=_stop_ignoring_signals
        )
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)  # the server blocked them for our start


def _ignore(number: int, frame: FrameType | None) -> None:
    return None


_mask = threading.local()


def _block_signals() -> None:
    """Before a fork: the signals of the new process wait until it does not ignore them."""
    _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _stop_ignoring_signals() -> None:
    """In a forked process, such as a worker of `multiprocessing.Pool`."""
    if signal.getsignal(signal.SIGINT) is _ignore:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is _ignore:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock_signals()


def _serve(pipe: _Pipe, initializer: Target | None) -> None:
    while (job := pipe.receive()) is not None:
        ended = _perform(job, pipe, initializer)
        pipe.send(ended)
        if ended.broken:
            return
        initializer = None


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None and parent.pid is not None:
        Parent(parent.pid).wait()
        _end_group()


def _end_group() -> None:
    """End this process and what its handlers started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _perform(job: Job, pipe: _Pipe, initializer: Target | None) -> Ended:
    child_context: ChildContext | None = None
    try:
        if initializer is not None:
            _initialize(initializer)
        call = job.target.load()
        add_to_root_handlers()  # importing the module may have configured logging
        context.process_context = child_context = ChildContext(job, pipe)
        pipe.send(Started())
        value = finish(call(Task.received(job.message)))
        return Ended(_result(job.message, value), memory=memory_used())
    except BaseException as error:
        broken = isinstance(error, InitializerFailed)
        return Ended(raised=Raised.of(error), memory=memory_used(), broken=broken)
    finally:
        context.process_context = None
        if child_context is not None:
            child_context.close()


def _initialize(initializer: Target) -> None:
    """Raises InitializerFailed."""
    try:
        finish(initializer.resolve()())
    except BaseException as error:
        raise InitializerFailed(str(initializer), error_text(error)) from error


def _result(message: TaskMessage, value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if message.retention <= 0:
        return None
    try:
        return payloads.encode(message.type, value)
    except NotSerializable as problem:
        raise NotSerializable(message.type, f"its result cannot be kept: {problem.reason}") from SkipRetry()


def memory_used() -> int:
    """Bytes of memory this process holds; its peak where the system does not report the current size."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class ChildContext(context.MessageContext):
    """`current()` in a task process."""

    def __init__(self, job: Job, pipe: _Pipe) -> None:
        self.message = job.message
        self.deadline = job.deadline
        self.state: Mapping[str, Any] = {}
        self._pipe = pipe
        # Threads of the handler may write, also after its end.
        self._writing = threading.Lock()
        self._closed = False

    @property
    def cancelled(self) -> bool:
        """Always False: a task process that should stop is killed."""
        return False

    def check_cancelled(self) -> None:
        return None

    def write_result(self, data: bytes | Any) -> PendingWrite:
        return self._send(Written(result=context.encode_value(self.message.type, data)))

    def report_progress(self, progress: Any) -> PendingWrite:
        return self._send(Written(progress=context.encode_progress(self.message.type, progress)))

    def log(self, text: str, level: str = "info") -> None:
        self._send(Written(line=LogLine(time.time(), str(text), level)))

    def _send(self, written: Written) -> PendingWrite:
        with self._writing:
            if not self._closed:
                self._pipe.send(written)
        sent: Future[bool] = Future()
        sent.set_result(not self._closed)
        return PendingWrite(sent)

    def close(self) -> None:
        """Send nothing more: the handler has ended and the pipe serves the next task."""
        with self._writing:
            self._closed = True
