"""The process lane: runs CPU-bound handlers in processes that can be killed and are recycled.

A thread of the server drives each task process: it starts the process, talks to it and notices its death. The event
loop only sees futures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import pickle
import queue
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess

from asynqio.blocking import run_blocking
from asynqio.brokers.contract.processes import TASK_PROCESS
from asynqio.brokers.contract.results import Output
from asynqio.core.task.task import Task
from asynqio.errors import ProcessNotStarted, RetryIn, WorkerDied
from asynqio.runtime.attempts.attempt import Attempt
from asynqio.runtime.lanes import child, forward_logs
from asynqio.runtime.lanes.child import Ended, Job, Logged, Ready, Setup, Started, Written
from asynqio.runtime.lanes.target import Target

log = logging.getLogger("asynqio.server")

Reply = Started | Written | Ended | WorkerDied | ProcessNotStarted

#: Seconds after which a task is due again whose process could not be started.
START_RETRY = 5.0
#: Seconds between two looks at a process where the system has no process descriptors (before Linux 5.3, macOS).
POLL_INTERVAL = 0.5
#: Seconds without a task after which it is checked whether the process still lives.
IDLE = 0.01
#: Seconds that other code may take to store the status of a process that it polled.
STATUS_WAIT = 0.5
#: Bytes that are read from a pipe at once.
READ_SIZE = 1 << 18


class _Child:
    """One task process and the thread that drives it. Raises RuntimeError if the thread cannot be started."""

    def __init__(self, loop: asyncio.AbstractEventLoop, setup: Setup) -> None:
        self._setup = setup
        self.tasks = 0
        self.pid = 0
        self.dead = False
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Job, Callable[[Reply], None]] | None] = queue.SimpleQueue()
        self._process: _Process | None = None
        self._killed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drive, name="asynqio process driver", daemon=True)
        self._thread.start()

    async def perform(self, job: Job, on_reply: Callable[[Started | Written], None]) -> Ended:
        """Run a job to its end. Raises WorkerDied, ProcessNotStarted. If the wait is cancelled, the process is
        killed."""
        ended: asyncio.Future[Ended] = self._loop.create_future()

        def receive(reply: Reply) -> None:
            if ended.done():
                return
            if isinstance(reply, Ended):
                ended.set_result(reply)
            elif isinstance(reply, WorkerDied | ProcessNotStarted):
                ended.set_exception(reply)
            else:
                on_reply(reply)

        self.tasks += 1
        self._jobs.put((job, receive))
        try:
            return await ended
        except (asyncio.CancelledError, WorkerDied):
            self.kill()
            raise

    def kill(self) -> None:
        self.dead = True
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()
        self._jobs.put(None)

    def retire(self) -> None:
        """Exit after the jobs that are queued."""
        self.dead = True
        self._jobs.put(None)

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    # --- in the driving thread --------------------------------------------------------------------

    def _drive(self) -> None:
        process = self._start()
        idle_since = time.monotonic()
        try:
            while (item := self._jobs.get()) is not None:
                job, receive = item
                if isinstance(process, ProcessNotStarted):
                    process = self._start()  # what prevented it may have passed
                elif time.monotonic() - idle_since > IDLE and process.has_died():
                    process.end(self._lock)  # while it was idle: no task is to blame
                    process = self._start()
                if isinstance(process, ProcessNotStarted):
                    self._post(receive, process)
                elif not self._serve(process, job, receive):
                    break
                idle_since = time.monotonic()
        finally:
            if isinstance(process, _Process):
                process.end(self._lock)

    def _start(self) -> _Process | ProcessNotStarted:
        with self._lock:
            self._process = None
            try:
                if self._killed:
                    raise RuntimeError("the server stops")
                self._process = process = _Process(self._setup)
            except Exception as error:  # no file descriptors, memory or processes
                return _not_started(error)
        self.pid = process.pid
        return process

    def _serve(self, process: _Process, job: Job, receive: Callable[[Reply], None]) -> bool:
        """Run one job. Returns whether the child can take another one."""
        try:
            process.pipe.send(job)
            while True:
                reply = process.receive()
                if isinstance(reply, Ready):
                    process.ready = True
                    continue
                if isinstance(reply, Logged):
                    forward_logs.handle(reply.fields)
                    continue
                self._post(receive, reply)
                if isinstance(reply, Ended):
                    return True
        except Exception as error:
            self.dead = True
            if not isinstance(error, EOFError | OSError):
                with self._lock:  # something else writes to its pipe: a process that it forked
                    process.kill()
            cause = _cause(process.end(self._lock))
            self._post(receive, WorkerDied(cause) if process.ready else ProcessNotStarted(cause))
            return False

    def _post(self, receive: Callable[[Reply], None], reply: Reply) -> None:
        try:
            self._loop.call_soon_threadsafe(receive, reply)
        except RuntimeError:
            log.debug(
                "the event loop was closed before a task process answered",
                extra={"event": "process_answer_lost", "pid": self.pid},
            )


class _Process:
    """A running task process. Raises OSError or others if it cannot be started."""

    def __init__(self, setup: Setup) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self._process: SpawnProcess = spawn.Process(
            target=child.main, args=(theirs, setup), name=TASK_PROCESS
        )
        try:
            _shield_from_signals()
            self._process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid or 0
        #: It can take tasks.
        self.ready = False
        self._ended = False
        self._exitcode: int | None = None
        self._descriptor = _open(self.pid)
        self._poll = select.poll()
        self._number = self.pipe.fileno()
        self._buffer = bytearray()
        self._poll.register(self._number, select.POLLIN)
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLIN)

    def receive(self) -> Ready | Started | Written | Logged | Ended:
        """The next message. Raises EOFError or OSError when the process has died, even if processes that it forked
        hold the other end of its pipe."""
        milliseconds = None if self._descriptor is not None else POLL_INTERVAL * 1000
        while (message := self._take()) is None:
            ready = [number for number, _ in self._poll.poll(milliseconds)]
            if self._number in ready:
                # Not `pipe.recv`: it reads twice, and blocks if the process died within a message.
                data = os.read(self._number, READ_SIZE)
                if not data:
                    raise EOFError
                self._buffer += data
            elif self.has_died() and not self.pipe.poll():
                raise EOFError
        reply: Ready | Started | Written | Logged | Ended = pickle.loads(message)
        return reply

    def _take(self) -> bytes | None:
        """A message that has arrived, as `Connection.send` frames it."""
        buffer, start = self._buffer, 4
        if len(buffer) < start:
            return None
        size = int.from_bytes(buffer[:4], "big", signed=True)
        if size == -1:
            start = 12
            size = int.from_bytes(buffer[4:12], "big")
        end = start + size
        if len(buffer) < max(start, end):
            return None
        message = bytes(buffer[start:end])
        del buffer[:end]
        return message

    def has_died(self) -> bool:
        if self._descriptor is None:
            return not self._process.is_alive()
        return _has_ended(self._descriptor, 0)

    def kill(self) -> None:
        """End the process, and what it started and left in its process group."""
        if not self._ended:
            self._kill_group()
            self._process.kill()

    def end(self, lock: threading.Lock) -> int | None:
        """Close the pipe, wait for the end of the process, end its group. Returns its status. The lock excludes
        `kill`."""
        if self._ended:
            return self._exitcode
        self.pipe.close()  # the child exits when its pipe is closed
        if self._descriptor is None:
            self._process.join()
        else:
            _has_ended(self._descriptor, None)
        with lock:
            self._ended = True
            self._kill_group()  # before it is reaped: until then, its id is not given to another process
        self._exitcode = self._reap()  # without the lock, for which the event loop may wait
        if self._descriptor is not None:
            os.close(self._descriptor)
        return self._exitcode

    def _reap(self) -> int | None:
        """The status of the process that has ended; None if other code of this process took it, or has ignored
        SIGCHLD."""
        self._process.join()
        # `multiprocessing` polls its processes whenever one starts, in any thread: that thread may have taken the
        # status and not have stored it yet.
        deadline = time.monotonic() + STATUS_WAIT
        while (status := self._process.exitcode) is None and time.monotonic() < deadline:
            time.sleep(0.001)
        if status is not None:
            self._process.close()
        return status

    def _kill_group(self) -> None:
        # Until the child has its own group, no group has its id.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _open(pid: int) -> int | None:
    """A descriptor that is ready when the process has ended; None if the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # a container may forbid the call
        return None


def _has_ended(descriptor: int, milliseconds: int | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(milliseconds))


def _not_started(error: Exception) -> ProcessNotStarted:
    """Not the fault of the task: it is deferred."""
    found = ProcessNotStarted(f"{type(error).__name__}: {error}")
    found.__cause__ = RetryIn(START_RETRY)
    return found


def _shield_from_signals() -> None:
    """Block INT and TERM in this thread, so that a child starts with them blocked until it ignores them. They reach
    whole process groups and would kill a starting child, and its task would count as failed."""
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # starting it later would unblock them again
        signal.pthread_sigmask(signal.SIG_BLOCK, child.IGNORED_SIGNALS)


def _cause(exitcode: int | None) -> str:
    if exitcode is None:
        return "its exit status was taken by other code of the server's process"
    if exitcode < 0:
        return f"killed by signal {-exitcode}"
    return f"it exited with status {exitcode}"


class ProcessPool:
    """At most `limit` task processes, started on demand. A process is replaced after `max_tasks` tasks, after it held
    more than `max_memory` bytes (0: no limit), when its initializer failed, and when it died."""

    def __init__(
        self, limit: int, *, max_tasks: int = 0, max_memory: int = 0, setup: Setup | None = None
    ) -> None:
        self._setup = setup or Setup()
        self._limit = limit
        self._max_tasks = max_tasks
        self._max_memory = max_memory
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        #: Processes cannot be started, which is logged.
        self._outage = False

    @property
    def size(self) -> int:
        """The number of processes now."""
        return len(self._all)

    async def run(self, target: Target, task: Task, attempt: Attempt) -> bytes | None:
        """Run the attempt's task in a process. Returns the encoded result. The task's timeout starts with the
        handler. Raises what the handler raised, WorkerDied, InitializerFailed, ProcessNotStarted."""
        environment = attempt.environment
        environment.deadlines.suspend(attempt)
        process = await self._acquire()

        def on_reply(reply: Started | Written) -> None:
            if isinstance(reply, Started):
                environment.deadlines.restart(attempt)
                return
            if reply.line is not None:
                attempt.attempt_log.write(reply.line)
                return
            if reply.result is not None:
                attempt.result = reply.result
            if reply.progress is not None:
                attempt.attempt_log.report(reply.progress)
            attempt.has_output = True
            environment.outputs.add(Output(attempt.lease, result=reply.result, progress=reply.progress))

        try:
            job = Job(target, attempt.lease.message, attempt.deadline)
            ended = await process.perform(job, on_reply)
            if self._worn_out(process, ended):
                process.retire()
            self._outage = False
        except ProcessNotStarted as error:
            self._log_outage(error)
            raise
        finally:
            self._release(process)
        if ended.raised is not None:
            raise ended.raised.restore(process.pid)
        return ended.result

    async def _acquire(self) -> _Child:
        while not self._idle and len(self._all) >= self._limit:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._pass_on()
                raise
        if self._idle:
            return self._idle.pop()
        try:
            return self._grow()
        except RuntimeError as error:
            self._pass_on()
            problem = _not_started(error)
            self._log_outage(problem)
            raise problem from problem.__cause__

    def _log_outage(self, error: ProcessNotStarted) -> None:
        if not self._outage:
            self._outage = True
            log.warning("%s", error, extra={"event": "process_start_failed", "error": str(error)})

    def _grow(self) -> _Child:
        """Raises RuntimeError: no more threads."""
        process = _Child(asyncio.get_running_loop(), self._setup)
        self._all.add(process)
        return process

    def _release(self, process: _Child) -> None:
        if process.dead:
            self._all.discard(process)
            with contextlib.suppress(RuntimeError):  # the next task tries again
                self._idle.append(self._grow())
        else:
            self._idle.append(process)
        self._pass_on()

    def _pass_on(self) -> None:
        """Wake the next attempt that waits for a process."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _worn_out(self, process: _Child, ended: Ended) -> bool:
        return bool(
            ended.broken
            or (self._max_tasks and process.tasks >= self._max_tasks)
            or (self._max_memory and ended.memory > self._max_memory)
        )

    async def close(self) -> None:
        """Kill all processes."""
        children, self._all, self._idle = self._all, set(), []
        for process in children:
            process.kill()
        for process in children:
            await run_blocking(process.join, 5.0)
