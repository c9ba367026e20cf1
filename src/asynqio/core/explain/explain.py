"""Explains the state of a task in sentences: what happened, why it is in this state, what is next, what you can do.

Pure: the facts are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.explain.blockers import Situation, serving
from asynqio.core.explain.humanize import ago, coming, moment, sentence, since, span
from asynqio.core.explain.model import Draft, Explanation, Facts, advise
from asynqio.core.explain.timeline import timeline
from asynqio.core.explain.waiting import (
    advise_run,
    aggregating,
    blockers_of,
    pending,
    retry,
    scheduled,
)
from asynqio.core.info import ServerInfo, WorkerInfo
from asynqio.core.task.message import TaskInfo, TaskState

#: Seconds after the expiry of a lease until a server recovers the task: a lease of asynqio, any lease on a Go server.
RECOVERY, GO_RECOVERY = 2.0, 90.0


def explain(facts: Facts) -> Explanation:
    """Explain the state of the task of `facts`."""
    draft, info = Draft(), facts.info
    if info is None:
        _not_found(facts, draft)
    else:
        _EXPLAIN[info.state](facts, info, draft)
        _explain_lock(facts, info, draft)
    return Explanation(
        queue=facts.ref.queue,
        id=facts.ref.id,
        type=info.type if info is not None else "",
        state=info.state if info is not None else None,
        situation=draft.situation,
        happened=timeline(info, facts.attempts, facts.now) if info is not None else [],
        why=draft.why,
        next=draft.next,
        remedies=draft.remedies,
        next_at=draft.next_at,
    )


# --- active ---------------------------------------------------------------------------------------


def _active(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    server, worker = _runner(facts)
    if server is None:
        _worker_lost(facts, info, draft)
    else:
        _running(facts, info, draft, server, worker)


def _running(
    facts: Facts, info: TaskInfo, draft: Draft, server: ServerInfo, worker: WorkerInfo | None
) -> None:
    now, record = facts.now, facts.running
    draft.situation = Situation.RUNNING
    began = worker.started_at if worker is not None else record.started_at if record is not None else 0.0
    draft.why.append(
        f"{server.id} has been running it {since(began, now)}." if began else f"{server.id} is running it."
    )
    _explain_output(info, record, draft)
    if info.is_orphaned and info.lease_expires_at:
        draft.why.append(
            f"Its lease expired {ago(info.lease_expires_at, now)}: unless the lease is renewed now, another server "
            "recovers the task."
        )
    if worker is not None and worker.stuck:
        draft.why.append(
            "Its handler was asked to stop and has not returned: it occupies its slot until it does."
        )
    if worker is not None and worker.deadline:
        draft.next.append(f"It times out {coming(worker.deadline, now)}.")
        draft.next_at = worker.deadline
    else:
        draft.next.append("The attempt ends when its handler returns.")
    draft.remedies.append(advise("Cancel it", "cancel", facts.ref))


def _worker_lost(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    now, record, expires_at = facts.now, facts.running, info.lease_expires_at
    draft.situation = Situation.WORKER_LOST
    if record is not None and record.worker:
        draft.why.append(f"{record.worker} dequeued it and no longer sends heartbeats.")
    else:
        draft.why.append("It was dequeued, but no live server reports that it runs the task.")
    _explain_output(info, record, draft)
    if expires_at > now:
        draft.why.append(f"Its lease is not renewed and expires {coming(expires_at, now)}.")
    elif expires_at:
        draft.why.append(f"Its lease expired {ago(expires_at, now)}.")
    else:
        draft.why.append("It has no lease: an asynqio server on this queue adds an expired one.")
    if serving(facts.ref.queue, facts.servers):
        draft.next_at = max(expires_at, now) + (RECOVERY if record is not None else GO_RECOVERY)
        draft.next.append(
            f"A server on this queue recovers it by {moment(draft.next_at, now)}; "
            "the lost attempt counts as a failure."
        )
    else:
        draft.next.append("Nothing: only a server on this queue can recover the task.")
        draft.block([one for one in blockers_of(facts, info) if one.situation is Situation.NO_SERVER])


def _runner(facts: Facts) -> tuple[ServerInfo | None, WorkerInfo | None]:
    """The live server that runs the task, and what it reports about the attempt."""
    for server in facts.servers:
        for worker in server.workers:
            if (worker.queue, worker.id) == facts.ref:
                return server, worker
    if facts.running is not None:
        for server in facts.servers:
            if server.id == facts.running.worker:  # dequeued since its last heartbeat
                return server, None
    return None, None


def _explain_output(info: TaskInfo, record: AttemptRecord | None, draft: Draft) -> None:
    if info.progress is not None:
        draft.why.append(f"Progress: {info.progress.decode('utf-8', 'replace')}.")
    if record is not None and record.log:
        draft.why.append(f"Last log line: {sentence(record.log[-1].text)}")


# --- ended ----------------------------------------------------------------------------------------


def _completed(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    draft.situation = Situation.COMPLETED
    until = info.completed_at + info.retention
    completed = f"It completed {ago(info.completed_at, facts.now)}" if info.completed_at else "It completed"
    result = "with its result" if info.result is not None else "without a result: its handler returned None"
    draft.why.append(f"{completed}, and is kept for {span(info.retention)} {result}.")
    draft.next.append(f"A server on its queue deletes it {coming(until, facts.now)}.")
    draft.next_at = until


def _archived(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    draft.situation = Situation.ARCHIVED
    draft.why.append(_why_archived(info, facts.attempts))
    draft.next.append("Nothing: it stays archived until the archive is full or the task is too old for it.")
    if info.type.startswith("asynqio:"):
        draft.remedies.append(
            "Find the program that wrote it; its payload is what was stored. Then delete the task."
        )
    elif info.deadline and info.deadline <= facts.now:
        draft.remedies.append(
            "Enqueue it again with a later deadline: this one has passed, so running it would fail."
        )
    else:
        if info.last_error.startswith("the payload does not fit"):
            queue = facts.ref.queue
            draft.remedies.append(
                f"Correct its payload, with `asynqio task edit {info.id} --queue {queue}`, or the handler."
            )
        advise_run(facts, info, draft, "Run it alone" if info.group else "Run it again")
        if info.last_error and info.retried >= info.max_retry:
            draft.remedies.append("If it fails again, it is archived at once: its retries are used up.")


def _why_archived(info: TaskInfo, attempts: Sequence[AttemptRecord]) -> str:
    last = attempts[-1] if attempts else None
    error = sentence(info.last_error)
    if info.type.startswith("asynqio:"):
        return f"Its stored message is invalid and was quarantined: {error}"
    if not info.last_error or (last is not None and last.then is not TaskState.ARCHIVED):
        return "An operator archived it; no attempt caused it."
    if info.last_error.startswith("aggregation failed"):
        return f"Its group {info.group!r} could not be aggregated: {error}"
    if info.last_error.startswith("crash loop"):
        return f"It was archived as poison: {error}"
    if info.last_error.startswith("deadline exceeded"):
        return f"A retry cannot succeed: {error}"
    if info.last_error.startswith("the payload does not fit"):
        return f"A retry cannot succeed: {error}"
    if info.last_error.startswith("handler not found"):
        return f"The server that dequeued it has no handler for type {info.type!r} and archives such tasks."
    if info.retried >= info.max_retry:
        retries = (
            f"its retries are used up ({info.retried} of {info.max_retry})"
            if info.max_retry
            else "it has none"
        )
        return f"Its last attempt failed, and {retries}: {error}"
    return f"Its handler raised SkipRetry, or too many uncounted failures occurred in a row: {error}"


def _not_found(facts: Facts, draft: Draft) -> None:
    draft.situation = Situation.NOT_FOUND
    queue = facts.ref.queue
    if facts.elsewhere:
        others = ", ".join(repr(name) for name in facts.elsewhere)
        draft.why.append(f"Queue {queue!r} has no task with this id. Queues that have one: {others}.")
        draft.remedies += [
            f"Explain that task: `asynqio explain {facts.ref.id} --queue {other}`."
            for other in facts.elsewhere
        ]
        return
    if facts.stats is None:
        draft.why.append(f"Queue {queue!r} does not exist.")
    else:
        draft.why.append(f"Neither queue {queue!r} nor any other queue has a task with this id.")
    draft.why.append(
        "Possible reasons: it completed without `retention`, or its retention is over; its handler revoked it; it "
        "was merged with its group; it was deleted; a full archive dropped it; it was never enqueued; "
        "or the id is wrong."
    )
    draft.remedies.append("Set a `retention` to keep completed tasks.")


# --- the uniqueness lock --------------------------------------------------------------------------


def _explain_lock(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    if not info.unique_key or facts.holder is None:
        return
    expiry = coming(facts.holder.until, facts.now)
    if facts.holder.id == info.id:
        draft.why.append(f"It holds a uniqueness lock: duplicates are rejected. The lock expires {expiry}.")
        if not info.is_final:
            draft.remedies.append("Delete the task to release its uniqueness lock now.")
    else:
        draft.why.append(
            f"It no longer holds its uniqueness lock: task {facts.holder.id!r} in this queue holds it. "
            f"The lock expires {expiry}."
        )


_EXPLAIN: dict[TaskState, Callable[[Facts, TaskInfo, Draft], None]] = {
    TaskState.PENDING: pending,
    TaskState.ACTIVE: _active,
    TaskState.SCHEDULED: scheduled,
    TaskState.RETRY: retry,
    TaskState.ARCHIVED: _archived,
    TaskState.COMPLETED: _completed,
    TaskState.AGGREGATING: aggregating,
}
