"""The process lane: runs CPU-bound handlers in processes that can be killed and are recycled.

A thread of the server drives each task process: it starts the process, talks to it and notices its death. The event
loop only sees futures.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from asynqio.blocking import run_blocking
from asynqio.brokers.contract.results import Output
from asynqio.core.task.task import Task
from asynqio.errors import WorkerDied
from asynqio.runtime.attempts.attempt import Attempt
from asynqio.runtime.lanes import child
from asynqio.runtime.lanes.child import Ended, Job, Setup, Started, Written
from asynqio.runtime.lanes.target import Target

log = logging.getLogger("asynqio.server")

Reply = Started | Written | Ended | WorkerDied


class _Child:
    """One task process and the thread that drives it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, setup: Setup) -> None:
        self._setup = setup
        self.tasks = 0
        self.pid = 0
        self.dead = False
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Job, Callable[[Reply], None]] | None] = queue.SimpleQueue()
        self._process: SpawnProcess | None = None
        self._killed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drive, name="asynqio process driver", daemon=True)
        self._thread.start()

    async def perform(self, job: Job, on_reply: Callable[[Started | Written], None]) -> Ended:
        """Run a job to its end. Raises WorkerDied. If the wait is cancelled, the process is killed."""
        ended: asyncio.Future[Ended] = self._loop.create_future()

        def receive(reply: Reply) -> None:
            if ended.done():
                return
            if isinstance(reply, Ended):
                ended.set_result(reply)
            elif isinstance(reply, WorkerDied):
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
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=child.main, args=(theirs, self._setup), name="asynqio task process")
        with self._lock:
            if self._killed:
                return
            _shield_from_signals()
            process.start()
            self._process = process
            self.pid = process.pid or 0
        theirs.close()
        try:
            while (item := self._jobs.get()) is not None and self._serve(ours, process, *item):
                pass
        finally:
            ours.close()  # the child exits when its pipe is closed
            process.join()
            with self._lock:
                self._process = None
            process.close()

    def _serve(
        self, pipe: Connection, process: SpawnProcess, job: Job, receive: Callable[[Reply], None]
    ) -> bool:
        """Run one job. Returns whether the child can take another one."""
        try:
            pipe.send(job)
            while True:
                reply: Reply = pipe.recv()
                self._post(receive, reply)
                if isinstance(reply, Ended):
                    return True
        except (EOFError, OSError):
            self.dead = True
            process.join()
            self._post(receive, WorkerDied(_cause(process.exitcode)))
            return False

    def _post(self, receive: Callable[[Reply], None], reply: Reply) -> None:
        try:
            self._loop.call_soon_threadsafe(receive, reply)
        except RuntimeError:
            log.debug(
                "the event loop was closed before a task process answered",
                extra={"event": "process_answer_lost", "pid": self.pid},
            )


def _shield_from_signals() -> None:
    """Block INT and TERM in this thread, so that a child starts with them blocked until it ignores them. They reach
    whole process groups and would kill a starting child, and its task would count as failed."""
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # starting it later would unblock them again
        signal.pthread_sigmask(signal.SIG_BLOCK, child.IGNORED_SIGNALS)


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
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

    @property
    def size(self) -> int:
        """The number of processes now."""
        return len(self._all)

    async def run(self, target: Target, task: Task, attempt: Attempt) -> bytes | None:
        """Run the attempt's task in a process. Returns the encoded result. The task's timeout starts with the
        handler. Raises what the handler raised, WorkerDied, InitializerFailed."""
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
        return self._grow()

    def _grow(self) -> _Child:
        process = _Child(asyncio.get_running_loop(), self._setup)
        self._all.add(process)
        return process

    def _release(self, process: _Child) -> None:
        if process.dead:
            self._all.discard(process)
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
