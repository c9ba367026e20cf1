"""What runs in a process of the process lane: one task at a time, told and answered through a pipe."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import msgspec

from asynqio.core.attempts.record import LogLine
from asynqio.core.lifecycle import error_text
from asynqio.core.task import payload as payloads
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Task
from asynqio.errors import NotSerializable, SkipRetry
from asynqio.runtime.attempts import context
from asynqio.runtime.attempts.log_capture import Capture
from asynqio.runtime.attempts.log_context import add_to_root_handlers
from asynqio.runtime.attempts.output_writer import PendingWrite
from asynqio.runtime.log_format import LogSettings, apply

#: The parent's business.
IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Target(msgspec.Struct, frozen=True):
    """Where a handler is found: something that can be imported."""

    module: str
    name: str
    #: It takes the arguments in the payload, not the task.
    binds: bool = False

    def load(self) -> Callable[[Task], Any]:
        """The handler as a function of the task."""
        found: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        if not self.binds:
            call: Callable[[Task], Any] = found
            return call
        # Under its name there may be the function itself or what the app's decorator made of it.
        function = getattr(found, "function", found)
        return lambda task: _binding(task.type, function).call(function, task.payload)


@functools.lru_cache
def _binding(type: str, function: Callable[..., Any]) -> payloads.Binding:
    return payloads.Binding(type, function)


class Setup(msgspec.Struct, frozen=True):
    """What a child needs to know before its first task."""

    #: The logging setup of the server; None: the application configured logging itself.
    logging: LogSettings | None = None
    #: The lowest level of log records that are kept with the attempt; None: none are kept.
    capture_level: int | None = None


class Job(msgspec.Struct, frozen=True):
    """One task for a child."""

    target: Target
    message: TaskMessage
    deadline: float


class Started(msgspec.Struct, frozen=True):
    """The handler is about to be called."""


class Noted(msgspec.Struct, frozen=True):
    """The handler left a result or progress, or wrote a line into its log."""

    result: bytes | None = None
    progress: bytes | None = None
    line: LogLine | None = None


class RemoteError(Exception):
    """An exception of a child process that could not be brought over as it was."""


class Raised(msgspec.Struct, frozen=True):
    """An exception on its way to the parent, with its cause (pickling drops it, and it may be a directive)."""

    pickled: bytes
    text: str
    trace: str
    cause: Raised | None = None

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        try:
            pickled = pickle.dumps(error)
            pickle.loads(pickled)
        except Exception:  # whatever the exception's own class makes of it
            pickled = b""
        cause = error.__cause__
        return cls(
            pickled,
            error_text(error),
            "".join(traceback.format_exception(error)),
            None if cause is None else cls.of(cause),
        )

    def restore(self, pid: int) -> BaseException:
        """In the parent: the exception, or a stand-in that says the same."""
        error: object
        try:
            error = pickle.loads(self.pickled)
        except Exception:  # its class exists in the child only
            error = None
        if not isinstance(error, BaseException):
            error = RemoteError(self.text)
        if self.cause is not None:
            error.__cause__ = self.cause.restore(pid)
        error.add_note(f"in process {pid}:\n{self.trace}")
        return error


class Ended(msgspec.Struct, frozen=True):
    """The handler came back, or raised. `memory`: bytes the process holds now."""

    result: bytes | None = None
    raised: Raised | None = None
    memory: int = 0


def main(pipe: Connection, setup: Setup) -> None:
    """The child's life. Signals are the parent's business; when the parent is gone, so are we."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)  # blocked by the parent since our birth
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if setup.logging is not None:
        apply(setup.logging)
    if setup.capture_level is not None:
        Capture(None).install(setup.capture_level)
    while (job := _receive(pipe)) is not None:
        pipe.send(_perform(job, pipe))


def _receive(pipe: Connection) -> Job | None:
    try:
        job: Job | None = pipe.recv()
    except EOFError:
        return None
    return job


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _perform(job: Job, pipe: Connection) -> Ended:
    said: ChildContext | None = None
    try:
        call = job.target.load()
        add_to_root_handlers()  # importing the module may have configured logging
        context.process_context = said = ChildContext(job, pipe)
        pipe.send(Started())
        value = call(Task.received(job.message))
        if inspect.isawaitable(value):
            value = asyncio.run(_await(value))
        return Ended(_result(job.message, value), memory=memory_used())
    except BaseException as error:
        return Ended(raised=Raised.of(error), memory=memory_used())
    finally:
        context.process_context = None
        if said is not None:
            said.close()


async def _await(value: Any) -> Any:
    return await value


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
    """Bytes of memory this process holds; the most it ever held where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class ChildContext(context.Facts):
    """`current()` in a child process."""

    def __init__(self, job: Job, pipe: Connection) -> None:
        self.message = job.message
        self.deadline = job.deadline
        self.state: Mapping[str, Any] = {}
        self._pipe = pipe
        # Handlers have threads; those may log, and go on after the handler's end.
        self._writing = threading.Lock()
        self._over = False

    @property
    def cancelled(self) -> bool:
        """Never seen: a process that is told to stop is killed."""
        return False

    def check_cancelled(self) -> None:
        return None

    def write_result(self, data: bytes | Any) -> PendingWrite:
        return self._send(Noted(result=context.encode_value(self.message.type, data)))

    def report_progress(self, progress: Any) -> PendingWrite:
        return self._send(Noted(progress=payloads.encode(self.message.type, progress)))

    def log(self, text: str, level: str = "info") -> None:
        self._send(Noted(line=LogLine(time.time(), str(text), level)))

    def _send(self, noted: Noted) -> PendingWrite:
        with self._writing:
            if not self._over:
                self._pipe.send(noted)
        sent: Future[bool] = Future()
        sent.set_result(not self._over)
        return PendingWrite(sent)

    def close(self) -> None:
        """The handler has ended: the pipe belongs to its end, and to the next task."""
        with self._writing:
            self._over = True
