"""The requests of a consumer about single tasks: it takes one, and says how the attempt ended."""

from __future__ import annotations

from asynqio.brokers.contract.results import Output
from asynqio.core.lifecycle import Deferred, Failed, Lease, Outcome, Succeeded
from asynqio.core.paused_types import defer_seconds
from asynqio.core.task.message import TaskMessage
from asynqio.errors import DeadlineExceeded, RetryIn, SkipRetry
from asynqio.gateway.asynq import answers, requests
from asynqio.gateway.asynq.session import Session
from asynqio.gateway.errors import ConsumerError

#: Tasks that one request may take and end itself, because they must not run now.
MOST_SKIPPED = 100


async def dequeue(session: Session, request: requests.Dequeue) -> str:
    """Hand out a task, at once: a client sends nothing else on its connection meanwhile."""
    if session.leaving:
        return answers.NO_TASK
    queues = request.data.queues
    for _ in range(MOST_SKIPPED):
        leases = await session.store.dequeue(queues, 1, session.gateway.lease, session.gateway.id)
        if not leases:
            break
        lease = leases[0]
        try:
            skipped = await _why_not_run(session, lease)
        except BaseException:
            session.give_back(lease)
            raise
        if skipped is None:
            session.hold(lease)
            return answers.dequeue_result(lease.message)
        await session.settle(lease, skipped)
    return answers.NO_TASK


async def _why_not_run(session: Session, lease: Lease) -> Outcome | None:
    """The outcome of a task that must not run now; None: it may run."""
    message, now = lease.message, session.gateway.clock.now()
    if message.deadline and message.deadline <= now:
        return Failed(DeadlineExceeded(0))
    since = await session.gateway.paused_types.since(session.stored(message.queue), message.type)
    return None if since is None else Deferred(defer_seconds(since, now))


async def done(session: Session, request: requests.Done | requests.MarkComplete) -> str:
    """The handler returned. Whether the task is kept depends on the stored retention alone."""
    return await _end(session, request.data, Succeeded())


async def retry(session: Session, request: requests.Retry) -> str:
    """The attempt failed, or (`is_failure` is false) ended without counting: run the task again at a moment."""
    data = request.data
    delay = max(data.process_at - session.gateway.clock.now(), 0.0)
    error = ConsumerError(data.error_msg)
    error.__cause__ = RetryIn(delay, counted=data.is_failure)
    return await _end(session, data, Failed(error))


async def archive(session: Session, request: requests.Archive) -> str:
    """The attempt failed for good."""
    error = ConsumerError(request.data.error_msg)
    error.__cause__ = SkipRetry()
    return await _end(session, request.data, Failed(error))


async def _end(session: Session, ended: requests.Ended, outcome: Outcome) -> str:
    held = session.take(ended.queue, ended.task_id)
    await session.settle(held.lease, outcome, started_at=held.started_at)
    return answers.SUCCESS


async def write_result(session: Session, request: requests.WriteResult) -> str:
    """Store what a handler wrote, while it runs."""
    data = request.data
    held = session.get(data.queue, data.task_id)
    [kept] = await session.store.write_output([Output(held.lease, result=data.result)])
    if not kept:
        session.lose(held)
    return answers.SUCCESS


async def extend_lease(session: Session, request: requests.ExtendLease) -> str:
    """Nothing to do: the gateway renews the leases of the tasks that its clients hold."""
    session.get(request.data.queue, request.data.task_id).unlisted = 0
    return answers.SUCCESS


async def list_lease_expired(session: Session, request: requests.ListLeaseExpired) -> str:
    """Nothing to do: the gateway recovers the tasks of dead consumers itself."""
    nothing: list[TaskMessage] = []
    return answers.lease_expired_tasks(nothing)
