"""All attempts of a server, each from its lease to its settlement.

`Runner._run` is the pipeline: make the attempt current → resolve the handler → perform (in the handler's lane,
inside the middleware, before its deadline) → translate the result or error → decide → call the hooks → pass it to
the settler. One asyncio task per attempt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Protocol, TypeGuard

import msgspec

from asynqio.clock import Clock
from asynqio.core.attempts.ending import Ending, ending_of
from asynqio.core.attempts.make_record import with_record
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
from asynqio.core.paused_types import defer_seconds
from asynqio.core.retry import RETRY_HEADER, GoRetry, RetryPolicy, from_header
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Task
from asynqio.errors import (
    Directive,
    HandlerNotFound,
    NotSerializable,
    ResultTooLarge,
    RevokeTask,
    SkipRetry,
    TaskCancelled,
)
from asynqio.runtime.attempts.attempt import Attempt, Environment, ProcessLane, ThreadLane, active_attempt
from asynqio.runtime.attempts.context import encode_value
from asynqio.runtime.attempts.deadlines import Deadlines
from asynqio.runtime.attempts.exits import TaskGuard, exit_error, is_from_signal
from asynqio.runtime.attempts.failure_log import log_failure
from asynqio.runtime.attempts.log_context import task_fields
from asynqio.runtime.attempts.output_writer import OutputWriter
from asynqio.runtime.attempts.settler import Settler
from asynqio.runtime.attempts.tracebacks import trace_of
from asynqio.runtime.events import AttemptEnded, Events, LeaseReturned
from asynqio.runtime.hooks import HookRunner, OnError, TaskHooks
from asynqio.runtime.isolation import Isolation
from asynqio.runtime.slots import Slots
from asynqio.runtime.user_code import PLAIN_TYPES, finish

log = logging.getLogger("asynqio.server")

#: No task was cancelled before it arrived.
NOTHING: Mapping[TaskRef, bool] = MappingProxyType({})


class Route(msgspec.Struct, frozen=True):
    """How tasks of one type are handled."""

    #: Runs the handler; its return value is the result.
    perform: Callable[[Task], Awaitable[Any]]
    #: Replaces the server's retry policy.
    retry: RetryPolicy | None = None
    #: Called when an attempt has ended; None: there are none.
    hooks: TaskHooks | None = None


class Router(Protocol):
    """Finds the route of a task type; None: there is no handler. (`Mux` is one.)"""

    @property
    def only_processes(self) -> bool:
        """Whether every handler runs in a task process."""
        ...

    def route(self, type: str) -> Route | None: ...
    def patterns(self) -> list[str]:
        """The types, or prefixes of types, that have a route."""
        ...


class Runner:
    """Starts attempts and follows each to its end. Lives on the server's event loop."""

    def __init__(
        self,
        router: Router,
        *,
        clock: Clock,
        settler: Settler,
        slots: Slots,
        outputs: OutputWriter,
        threads: ThreadLane,
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
        self.running: dict[tuple[str, str], Attempt] = {}
        self.isolation = Isolation(clock, random, policy.max_crashes)
        #: Paused task types, by queue and type, and since when.
        self.paused: Mapping[tuple[str, str], float] = {}
        self.processed = 0
        self.failed = 0
        self._outputs = outputs
        self._router = router
        self._settler = settler
        self._slots = slots
        self._policy = policy
        self._random = random
        self._hooks = HookRunner(threads, on_error)
        self._deadlines = Deadlines(self.running, clock)
        self._guard: TaskGuard | None = None
        self.environment = Environment(
            clock, outputs, threads, processes, self._deadlines, worker, state if state is not None else {}
        )

    def start(self, leases: Sequence[Lease], cancelled: Mapping[TaskRef, bool] = NOTHING) -> None:
        """Start an attempt for each lease; their slots are taken already.

        `cancelled`: tasks that were cancelled before they arrived, and whether to archive them.
        """
        now = self.clock.now()
        isolation, environment = self.isolation, self.environment
        if isolation.active:
            self._return_all(leases, now)
            return
        loop = asyncio.get_running_loop()
        if self._guard is None:
            self._guard = TaskGuard.enter()
        loop_now, create_task, arm = loop.time(), self._guard.create_task, self._deadlines.arm
        paused = self.paused
        for lease in leases:
            message = lease.message
            if lease.expires_at <= now:
                # The answer was read late: another server may have the task. Returning is fenced, running is not.
                self._return_one(lease, now)
                continue
            if paused and (since := paused.get((message.queue, message.type))) is not None:
                self._defer(lease, defer_seconds(since, now), now)
                continue
            suspect = message.crashes and isolation.suspects(message)
            if suspect and isolation.occupied:
                self._defer(lease, isolation.delay(), now)
                continue
            attempt = Attempt(environment, lease, now)
            if suspect:
                isolation.enter(attempt)
            self.running[message.queue, message.id] = attempt
            arm(attempt, now, loop_now)
            if cancelled:
                # Go's calls do not name the queue.
                archive = cancelled.get(message.ref, cancelled.get(TaskRef("", message.id)))
                if archive is not None:
                    attempt.stop(Failed(TaskCancelled(archive=archive)))
            attempt.asyncio_task = create_task(self._run(attempt))

    def _return_all(self, leases: Sequence[Lease], now: float) -> None:
        """Return leases that arrived after a suspect started, as if they had never been requested."""
        for lease in reversed(leases):
            self._return(lease, Aborted(), now)
        self._slots.release(len(leases))

    def _return_one(self, lease: Lease, now: float) -> None:
        """Return one lease to the front of its queue; nothing is counted."""
        self._return(lease, Aborted(), now)
        self._slots.release()

    def _defer(self, lease: Lease, seconds: float, now: float) -> None:
        """Return one lease, to be due again in `seconds`; nothing is counted."""
        self._return(lease, Deferred(seconds), now)
        self._slots.release()

    def _return(self, lease: Lease, outcome: Aborted | Deferred, now: float) -> None:
        settlement = decide(lease, outcome, now, self._policy)
        self._settler.add(settlement)
        if self.events.listeners:
            self.events.publish(LeaseReturned(lease.message, ending_of(outcome, settlement)))

    def is_running(self, lease: Lease) -> bool:
        """Whether an attempt with this very lease is running here."""
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

    async def run_hooks(self, outcome: Outcome, settlement: Settlement, value: object = None) -> None:
        """Call the hooks for the end of an attempt, wherever it ran."""
        route = self._router.route(settlement.lease.message.type)
        await self._hooks.run(route.hooks if route is not None else None, outcome, settlement, value)

    def close(self) -> None:
        """Stop the deadline timer and the guard of user code."""
        self._deadlines.close()
        if self._guard is not None:
            self._guard.leave()
            self._guard = None

    def abandon(self, attempt: Attempt) -> None:
        """Return the task now, without waiting for the handler."""
        self._finish(attempt, attempt.outcome or Aborted())

    # --- the pipeline -----------------------------------------------------------------------------

    async def _run(self, attempt: Attempt) -> None:
        active_attempt.set(attempt)
        attempt.started = True
        message = attempt.lease.message
        hooks: TaskHooks | None = None
        value: object = None
        try:
            if attempt._stopped_by is not None:
                raise asyncio.CancelledError
            if attempt is self.isolation.suspect:
                await self._settler.drain()  # ended attempts and deferred neighbours must not die with it
            route = self._router.route(message.type)
            if route is None:
                raise HandlerNotFound(message.type)
            hooks = route.hooks
            value = await route.perform(Task.received(message))
            if type(value) not in PLAIN_TYPES:
                value = await finish(value)
            outcome: Outcome = DONE if message.retention <= 0 else Succeeded(_encode(attempt, value))
        except BaseException as error:
            if is_from_signal(error):
                self._finish(attempt, Aborted())
                raise
            outcome = self._translate(attempt, error)
        attempt.outcome = outcome
        try:
            if attempt.has_output:
                await self._outputs.drain()
            if (hooks is not None or isinstance(outcome, Failed)) and not attempt.lost:
                attempt.settlement = self.decide(attempt.lease, outcome)
                await self._hooks.run(hooks, outcome, attempt.settlement, value)
        finally:
            self._finish(attempt, outcome)
            # The traceback of an error refers to this frame. Without a cycle, both are freed now; collecting them
            # later costs more than the rest of a failed attempt.
            attempt.outcome = None
            del outcome

    def _translate(self, attempt: Attempt, error: BaseException) -> Outcome:
        """What an exception of the handler means."""
        reason = attempt.stopped_by
        if isinstance(error, asyncio.CancelledError):
            return reason or Failed(TaskCancelled())
        if not isinstance(error, Exception):
            error = exit_error(error)
        if isinstance(reason, Aborted) and not isinstance(error, Directive):
            return reason  # a consequence of our own cancellation
        if _archives(reason) and not isinstance(error, SkipRetry | RevokeTask):
            reason.error.__cause__ = error  # `decide` knows which of the two counts
            return reason
        return Failed(error)

    def _finish(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.finished:
            return
        attempt.finished = True
        message = attempt.lease.message
        settlement = attempt.settlement or self.decide(attempt.lease, outcome)
        trace = ""
        if settlement.to is not None:
            trace = trace_of(outcome.error) if isinstance(outcome, Failed) else ""
            record, limit = attempt.record(), self._policy.traceback_limit
            settlement = with_record(settlement, outcome, record, self.clock.now(), trace, limit)
        attempt.close()
        if isinstance(outcome, Failed):
            log_failure(outcome, settlement, self.clock.now(), trace)
        if settlement.processed:
            self.processed += 1
            self.failed += settlement.failed
        ended = self._ended(attempt, outcome, settlement) if self.events.listeners else None
        if not (attempt.lost and settlement.to is TaskState.PENDING):
            self._settler.add(settlement, ended)
        elif ended is not None:
            self.events.publish(msgspec.structs.replace(ended, ending=Ending.REFUSED))
        # A server that lost a lease may have fetched the task again: then this is a newer attempt.
        if self.running.get((message.queue, message.id)) is attempt:
            del self.running[message.queue, message.id]
        self._slots.release()

    def _ended(self, attempt: Attempt, outcome: Outcome, settlement: Settlement) -> AttemptEnded:
        lease, now = attempt.lease, self.clock.now()
        ending = ending_of(outcome, settlement)
        return AttemptEnded(lease.message, ending, attempt.started_at, now, lease.pending_since)

    def decide(self, lease: Lease, outcome: Outcome) -> Settlement:
        """Decide what follows on the end of an attempt, wherever it ran. If the application's retry policy or
        `is_failure` raises, that is logged and the default applies."""
        now = self.clock.now()
        if type(outcome) is Succeeded:  # no policy matters
            return decide(lease, outcome, now, self._policy)
        policy = self.policy_of(lease.message)
        chance = self._random.random()
        own_delay = msgspec.structs.replace(policy, retry=GoRetry())
        for user_policy in (policy, own_delay):
            try:
                return decide(lease, outcome, now, user_policy, chance)
            except BaseException as error:  # the user's retry function or is_failure
                if is_from_signal(error):
                    raise
                log.exception(
                    "the retry policy failed on task %r: %s; the default one is used",
                    lease.message.id,
                    error_text(error),
                    extra={
                        "event": "retry_policy_failed",
                        "error": error_text(error),
                        **task_fields(lease.message),
                    },
                )
        return decide(lease, outcome, now, msgspec.structs.replace(own_delay, is_failure=every_error), chance)


def _archives(reason: Failed | Aborted | None) -> TypeGuard[Failed]:
    """Whether the task was cancelled with the request to archive it."""
    return isinstance(reason, Failed) and isinstance(reason.error, TaskCancelled) and reason.error.archive


def _encode(attempt: Attempt, value: Any) -> bytes | None:
    """The result to keep: bytes as they are, other values as JSON; for None what `write_result` stored."""
    if value is None:
        return attempt.result
    try:
        return encode_value(attempt.lease.message.type, value)
    except ResultTooLarge as problem:
        raise problem from SkipRetry()
    except NotSerializable as problem:
        # The work is done; running it again would not change what it returns.
        raise NotSerializable(problem.type, f"its result cannot be kept: {problem.reason}") from SkipRetry()
