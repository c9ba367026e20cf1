"""All attempts of a server, each from its lease to its settlement.

`Runner._run` is the pipeline: make the attempt current → resolve the handler → perform (in the handler's lane,
inside the middleware, before its deadline) → translate what happened → decide → hand over to the settler.
One asyncio task per attempt.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, TypeGuard

import msgspec

from asynqio.clock import Clock
from asynqio.core.attempts.final_record import recorded
from asynqio.core.attempts.outcome import Ending, ending_of
from asynqio.core.lifecycle import (
    DONE,
    Aborted,
    Deferred,
    Failed,
    Lease,
    Outcome,
    Policy,
    Settlement,
    Succeeded,
    decide,
    error_text,
    every_error,
)
from asynqio.core.paused_types import held_for
from asynqio.core.retry import RETRY_HEADER, GoRetry, RetryPolicy, from_header
from asynqio.core.task import payload as payloads
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Task
from asynqio.errors import (
    Directive,
    HandlerNotFound,
    NotSerializable,
    RevokeTask,
    SkipRetry,
    TaskCancelled,
    TaskTimeout,
)
from asynqio.runtime.attempts.attempt import Attempt, active_attempt
from asynqio.runtime.attempts.deadlines import Deadlines
from asynqio.runtime.attempts.output_writer import OutputWriter
from asynqio.runtime.attempts.settler import Settler
from asynqio.runtime.attempts.tracebacks import trace_of
from asynqio.runtime.events import AttemptEnded, Events, LeaseReturned
from asynqio.runtime.lanes.child import Target
from asynqio.runtime.lanes.threads import Threads
from asynqio.runtime.slots import Slots

log = logging.getLogger("asynqio.server")

#: Seconds that a suspect waits while another one runs.
SUSPECT_DELAY = 1.0
#: Seconds that a suspect has the server for itself: nothing new is fetched that would die with it.
SUSPECT_ALONE = 10.0


#: Nothing was cancelled on its way.
NOTHING: Mapping[TaskRef, bool] = MappingProxyType({})


class Route(msgspec.Struct, frozen=True):
    """How tasks of one type are handled."""

    #: Does the work; what it returns is the result.
    perform: Callable[[Task], Awaitable[Any]]
    #: Overrides the server's.
    retry: RetryPolicy | None = None


class Router(Protocol):
    """Finds the route of a task type; None: there is no handler. (`Mux` is one.)"""

    def route(self, type: str) -> Route | None: ...
    def patterns(self) -> list[str]:
        """The types, or beginnings of types, that have a route."""
        ...


class ProcessLane(Protocol):
    """Runs handlers in processes. (`ProcessPool` does; tests run them inline.)"""

    async def run(self, target: Target, task: Task, attempt: Attempt) -> Any: ...


#: Told of every failed attempt that this server saw (Go's ErrorHandler). May be async.
OnError: TypeAlias = Callable[[Task, BaseException], Awaitable[None] | None]


class Runner:
    """Starts attempts and sees each to its end. Lives on the server's event loop."""

    def __init__(
        self,
        router: Router,
        *,
        clock: Clock,
        settler: Settler,
        slots: Slots,
        notes: OutputWriter,
        threads: Threads,
        processes: ProcessLane,
        policy: Policy,
        random: Random,
        worker: str = "",
        on_error: OnError | None = None,
        state: Mapping[str, Any] | None = None,
        events: Events | None = None,
    ) -> None:
        self.clock = clock
        self.events = events or Events()
        #: The id of the server, for the records of its attempts.
        self.worker = worker
        self.notes = notes
        self.threads = threads
        self.processes = processes
        #: What the lifespan hook provided, for handlers.
        self.state: Mapping[str, Any] = state if state is not None else {}
        self.running: dict[tuple[str, str], Attempt] = {}
        #: The attempt started last at a task that may be poison.
        self._suspect: Attempt | None = None
        #: Queue and type of tasks that are not to be run, and since when.
        self.paused: Mapping[tuple[str, str], float] = {}
        self.processed = 0
        self.failed = 0
        self._router = router
        self._settler = settler
        self._slots = slots
        self._policy = policy
        self._random = random
        self._on_error = on_error
        self._deadlines = Deadlines(self.running)

    def start(self, leases: Sequence[Lease], cancelled: Mapping[TaskRef, bool] = NOTHING) -> None:
        """Start an attempt for each lease; its slot is taken already.

        `cancelled`: tasks that were cancelled before they arrived. True: archive them.
        """
        now = self.clock.now()
        if self.isolating:
            self._hand_back(leases, now)
            return
        loop = asyncio.get_running_loop()
        loop_now, create_task, arm = loop.time(), loop.create_task, self._deadlines.arm
        paused = self.paused
        for lease in leases:
            message = lease.message
            if paused and (since := paused.get((message.queue, message.type))) is not None:
                self._put_off(lease, held_for(since, now), now)
                continue
            suspect = message.crashes and message.crashes >= self._policy.max_crashes - 1
            if suspect and self._suspect is not None and not self._suspect.finished:
                self._postpone(lease, now)
                continue
            attempt = Attempt(self, lease, now)
            if suspect:
                self._suspect = attempt
            self.running[message.queue, message.id] = attempt
            arm(attempt, now, loop_now)
            if cancelled:
                # Go's calls do not say the queue.
                archive = cancelled.get(message.ref, cancelled.get(TaskRef("", message.id)))
                if archive is not None:
                    attempt.stop(Failed(TaskCancelled(archive=archive)))
            attempt.asyncio_task = create_task(self._run(attempt))

    @property
    def isolating(self) -> bool:
        """Whether nothing new should be fetched, because a suspect has just started."""
        suspect = self._suspect
        return suspect is not None and not suspect.finished and self._left_alone(suspect) > 0

    async def isolation(self) -> None:
        """Until it is over."""
        suspect = self._suspect
        if suspect is not None and suspect.asyncio_task is not None and self.isolating:
            await asyncio.wait([suspect.asyncio_task], timeout=self._left_alone(suspect))

    def _left_alone(self, suspect: Attempt) -> float:
        return suspect.started_at + SUSPECT_ALONE - self.clock.now()

    def _hand_back(self, leases: Sequence[Lease], now: float) -> None:
        """These were under way when a suspect started: as if they had never been asked for."""
        for lease in reversed(leases):
            self._return(lease, Aborted(), now)
        self._slots.release(len(leases))

    def _postpone(self, lease: Lease, now: float) -> None:
        """Do not start this one beside the suspect that runs.

        When a task kills its server, its neighbours are in flight too and look as guilty. So of those whose
        next crash would archive them only one runs at a time: the poison dies alone, the others get through.
        """
        self._put_off(lease, SUSPECT_DELAY * (0.5 + self._random.random()), now)

    def _put_off(self, lease: Lease, seconds: float, now: float) -> None:
        """Not now, and as if it had never been here."""
        self._return(lease, Deferred(seconds), now)
        self._slots.release()

    def _return(self, lease: Lease, outcome: Aborted | Deferred, now: float) -> None:
        settlement = decide(lease, outcome, now, self._policy)
        self._settler.add(settlement)
        if self.events.listeners:
            self.events.publish(LeaseReturned(lease.message, ending_of(outcome, settlement)))

    def is_running(self, lease: Lease) -> bool:
        """Whether this very lease is being worked on here."""
        attempt = self.running.get((lease.message.queue, lease.message.id))
        return attempt is not None and attempt.lease.token == lease.token

    def policy_of(self, message: TaskMessage) -> Policy:
        """The server's policy, with the task's own retry policy or else its handler's."""
        retry: RetryPolicy | None = None
        if message.headers and (text := message.headers.get(RETRY_HEADER)):
            retry = from_header(text)
        if retry is None and (route := self._router.route(message.type)) is not None:
            retry = route.retry
        return self._policy if retry is None else msgspec.structs.replace(self._policy, retry=retry)

    def wait_begins(self, attempt: Attempt) -> None:
        """It waits for a process: only an absolute deadline counts meanwhile."""
        self._deadlines.suspend(attempt)

    def wait_ends(self, attempt: Attempt) -> None:
        """Its handler starts now, and so does its time."""
        attempt.started_at = self.clock.now()
        self._deadlines.arm(attempt, self.clock.now(), asyncio.get_running_loop().time())

    def close(self) -> None:
        self._deadlines.close()

    def abandon(self, attempt: Attempt) -> None:
        """Do not wait for the handler any more: hand the task back now."""
        self._finish(attempt, attempt.outcome or Aborted())

    # --- the pipeline -----------------------------------------------------------------------------

    async def _run(self, attempt: Attempt) -> None:
        active_attempt.set(attempt)
        attempt.started = True
        message = attempt.lease.message
        try:
            if attempt._stopped_by is not None:
                raise asyncio.CancelledError
            if attempt is self._suspect:
                await self._settler.drain()  # what has ended, or was put off for it, must not die with it
            route = self._router.route(message.type)
            if route is None:
                raise HandlerNotFound(message.type)
            value = await route.perform(Task.received(message))
            outcome: Outcome = DONE if message.retention <= 0 else Succeeded(_encode(attempt, value))
        except KeyboardInterrupt:
            self._finish(attempt, Aborted())
            raise
        except BaseException as error:
            outcome = self._translate(attempt, error)
        attempt.outcome = outcome
        try:
            if attempt.noted:
                await self.notes.drain()
            if isinstance(outcome, Failed) and self._on_error is not None:
                await self._tell(attempt, outcome.error)
        finally:
            self._finish(attempt, outcome)

    def _translate(self, attempt: Attempt, error: BaseException) -> Outcome:
        """What an exception of the handler means."""
        reason = attempt.stopped_by
        if isinstance(error, asyncio.CancelledError):
            return reason or Failed(TaskCancelled())
        if isinstance(reason, Aborted) and not isinstance(error, Directive):
            return reason  # a consequence of our own cancellation
        if _to_be_archived(reason) and not isinstance(error, SkipRetry | RevokeTask):
            reason.error.__cause__ = error  # `decide` knows which of the two counts
            return reason
        return Failed(error)

    async def _tell(self, attempt: Attempt, error: BaseException) -> None:
        """Call the application's hook."""
        message = attempt.lease.message
        try:
            answer = self._on_error(Task.received(message), error) if self._on_error else None
            if inspect.isawaitable(answer):
                await answer
        except Exception:
            log.exception("the on_error hook failed on task %r", message.id)

    def _finish(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.finished:
            return
        attempt.finished = True
        message = attempt.lease.message
        settlement = self._decide(attempt, outcome)
        if settlement.to is not None:
            trace = trace_of(outcome.error) if isinstance(outcome, Failed) else ""
            settlement = recorded(settlement, outcome, attempt.record(), self.clock.now(), trace)
        attempt.close()
        if isinstance(outcome, Failed):
            log_failure(outcome.error, settlement, self.clock.now())
        if settlement.processed:
            self.processed += 1
            self.failed += settlement.failed
        ended = self._ended(attempt, outcome, settlement) if self.events.listeners else None
        if not (attempt.lost and settlement.to is TaskState.PENDING):
            self._settler.add(settlement, ended)
        elif ended is not None:
            self.events.publish(msgspec.structs.replace(ended, ending=Ending.REFUSED))
        if self.running.get((message.queue, message.id)) is attempt:  # not so when it lost the task to itself
            del self.running[message.queue, message.id]
        self._slots.release()

    def _ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> AttemptEnded:
        lease, now = attempt.lease, self.clock.now()
        ending = ending_of(outcome, settlement)
        return AttemptEnded(lease.message, ending, attempt.started_at, now, lease.pending_since)

    def _decide(self, attempt: Attempt, outcome: Outcome) -> Settlement:
        lease, now = attempt.lease, self.clock.now()
        if outcome is DONE:
            return decide(lease, outcome, now, self._policy)
        policy = self.policy_of(lease.message)
        chance = self._random.random()
        try:
            return decide(lease, outcome, now, policy, chance)
        except Exception:  # the user's retry_delay or is_failure
            log.exception("the retry policy failed on task %r; the default one is used", lease.message.id)
            safe = msgspec.structs.replace(policy, retry=GoRetry(), is_failure=every_error)
            return decide(lease, outcome, now, safe, chance)


def _to_be_archived(reason: Failed | Aborted | None) -> TypeGuard[Failed]:
    """Whether it was cancelled by somebody who wants it archived."""
    return isinstance(reason, Failed) and isinstance(reason.error, TaskCancelled) and reason.error.archive


def _encode(attempt: Attempt, value: Any) -> bytes | None:
    """The result to keep: bytes as they are, other values as JSON, else what `write_result` left."""
    if value is None:
        return attempt.result
    if isinstance(value, bytes):
        return value
    try:
        return payloads.encode(attempt.lease.message.type, value)
    except NotSerializable as problem:
        # The work is done; running it again would not change what it returns.
        raise NotSerializable(problem.type, f"its result cannot be kept: {problem.reason}") from SkipRetry()


def log_failure(error: BaseException, settlement: Settlement, now: float) -> None:
    """Say what went wrong with an attempt, and what happens next."""
    before, after = settlement.lease.message, settlement.message
    match settlement.to:
        case TaskState.RETRY if after.retried > before.retried:
            following = f"retry {after.retried} of {after.max_retry} in {settlement.at - now:.1f} s"
        case TaskState.RETRY:
            following = f"put off for {settlement.at - now:.1f} s, not counted"
        case TaskState.ARCHIVED:
            following = "archived"
        case _:
            following = "dropped"
    wanted = isinstance(error, Directive)
    log.log(
        logging.INFO if wanted else logging.WARNING,
        "task %r (%s, queue %r): %s; %s",
        before.id,
        before.type,
        before.queue,
        error_text(error),
        following,
        exc_info=None if wanted or isinstance(error, HandlerNotFound | TaskTimeout) else error,
    )
