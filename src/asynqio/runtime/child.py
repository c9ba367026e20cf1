"""What runs in a process of the process lane: one task at a time, told and answered through a pipe."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import msgspec

from asynqio.core import payload as payloads
from asynqio.core.message import TaskMessage
from asynqio.core.task import Task
from asynqio.errors import NotSerializable, SkipRetry
from asynqio.runtime import context
from asynqio.runtime.notes import Saved

#: The parent's business.
IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Target(msgspec.Struct, frozen=True):
    """Where a handler is found: something that can be imported."""

    module: str
    name: str

    def load(self) -> Callable[[Task], Any]:
        """The handler as a function of the task. A declared task function knows itself how to bind one."""
        found: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        call: Callable[[Task], Any] = getattr(found, "call_with", found)
        return call


class Job(msgspec.Struct, frozen=True):
    """One task for a child."""

    target: Target
    message: TaskMessage
    deadline: float


class Started(msgspec.Struct, frozen=True):
    """The handler is about to be called."""


class Noted(msgspec.Struct, frozen=True):
    """The handler left a result or progress."""

    result: bytes | None = None
    progress: bytes | None = None


class Ended(msgspec.Struct, frozen=True):
    """The handler came back, or raised. `memory`: bytes the process holds now."""

    result: bytes | None = None
    error: BaseException | None = None
    memory: int = 0


class RemoteError(Exception):
    """An exception of a child process that could not be brought over as it was."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}" if text else name)


def main(pipe: Connection) -> None:
    """The child's life. Signals are the parent's business; when the parent is gone, so are we."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)  # blocked by the parent since our birth
    threading.Thread(target=_die_with_parent, daemon=True).start()
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
    try:
        call = job.target.load()
        context.process_context = ChildContext(job, pipe)
        pipe.send(Started())
        value = call(Task.received(job.message))
        if inspect.isawaitable(value):
            value = asyncio.run(_await(value))
        return Ended(_result(job.message, value), memory=memory_used())
    except BaseException as error:
        return Ended(error=_portable(error), memory=memory_used())
    finally:
        context.process_context = None


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


def _portable(error: BaseException) -> BaseException:
    """The exception, or a stand-in when it cannot be pickled; with the child's traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))
        if type(copy) is not type(error):
            raise TypeError("it changed on the way")
    except Exception:
        copy = RemoteError(type(error).__name__, str(error))
    cause = error.__cause__
    if cause is not None:
        # Pickling drops the cause, and a directive may be one.
        copy.__dict__["asynqio_cause"] = _portable(cause)
    copy.add_note(f"in process {os.getpid()}:\n{trace}")
    return copy


def restore(error: BaseException) -> BaseException:
    """In the parent: put the chain of causes together again."""
    cause = error.__dict__.pop("asynqio_cause", None)
    if cause is not None:
        error.__cause__ = restore(cause)
    return error


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

    @property
    def cancelled(self) -> bool:
        """Never seen: a process that is told to stop is killed."""
        return False

    def check_cancelled(self) -> None:
        return None

    def write_result(self, data: bytes | Any) -> Saved:
        return self._send(Noted(result=context.encode_value(self.message.type, data)))

    def report_progress(self, progress: Any) -> Saved:
        return self._send(Noted(progress=payloads.encode(self.message.type, progress)))

    def _send(self, noted: Noted) -> Saved:
        self._pipe.send(noted)
        sent: Future[bool] = Future()
        sent.set_result(True)
        return Saved(sent)
