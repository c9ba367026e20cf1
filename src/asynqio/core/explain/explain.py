"""Why a task is where it is: facts in, sentences out. Pure.

What happened to it, why it is where it is, what happens next and when, and what would change that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.explain.blockers import Situation, serving
from asynqio.core.explain.humanize import ago, coming, many, moment, sentence, since, span
from asynqio.core.explain.model import Draft, Explanation, Facts
from asynqio.core.explain.timeline import story
from asynqio.core.explain.waiting import aggregating, in_the_way, pending, retry, scheduled
from asynqio.core.info import ServerInfo, WorkerInfo
from asynqio.core.task.message import TaskInfo, TaskState

#: Seconds within which somebody looks for lapsed leases: our servers after their own, Go's after any.
RECOVERY, GO_RECOVERY = 2.0, 90.0


def explain(facts: Facts) -> Explanation:
    """Why the task of `facts` is where it is."""
    draft, info = Draft(), facts.info
    if info is None:
        _not_there(facts, draft)
    else:
        _SAID[info.state](facts, info, draft)
        _say_lock(facts, info, draft)
    return Explanation(
        queue=facts.ref.queue,
        id=facts.ref.id,
        type=info.type if info is not None else "",
        state=info.state if info is not None else None,
        situation=draft.situation,
        happened=story(info, facts.attempts, facts.now) if info is not None else [],
        why=draft.why,
        next=draft.next,
        remedies=draft.remedies,
        next_at=draft.next_at,
    )


# --- running --------------------------------------------------------------------------------------


def _active(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    now = facts.now
    running = facts.running
    card, work = _who(facts, running)
    if card is not None:
        draft.situation = Situation.RUNNING
        began = work.started_at if work is not None else running.started_at if running is not None else 0.0
        draft.why.append(
            f"{card.id} has been running it {since(began, now)}." if began else f"{card.id} runs it."
        )
        _say_progress(info, running, draft)
        if info.is_orphaned and info.lease_expires_at:
            lapsed = ago(info.lease_expires_at, now)
            draft.why.append(
                f"But its lease lapsed {lapsed}: unless it is renewed at once, another server takes over."
            )
        if work is not None and work.stuck:
            draft.why.append(
                "It was told to stop and does not come back: its slot stays taken until it does."
            )
        if work is not None and work.deadline:
            draft.next.append(
                f"It is told to stop {coming(work.deadline, now)}, if it has not ended by then."
            )
            draft.next_at = work.deadline
        else:
            draft.next.append("It ends when its handler does.")
        draft.remedies.append("Stop it: `asynqio task cancel`, or `inspector.cancel(queue, [id])`.")
        return
    draft.situation = Situation.WORKER_IS_GONE
    if running is not None and running.worker:
        draft.why.append(f"{running.worker} took it, and shows no sign of life any more.")
    else:
        draft.why.append("It was taken, and no server that shows a sign of life says that it runs it.")
    _say_progress(info, running, draft)
    ours = running is not None
    lapses = info.lease_expires_at
    if lapses > now:
        draft.why.append(f"Its lease, which nobody renews now, lapses {coming(lapses, now)}.")
    elif lapses:
        draft.why.append(f"Its lease lapsed {ago(lapses, now)}.")
    else:
        draft.why.append("It has no lease: a server of ours on this queue gives it one that has lapsed.")
    if serving(facts.ref.queue, facts.servers):
        draft.next_at = max(lapses, now) + (RECOVERY if ours else GO_RECOVERY)
        draft.next.append(
            f"A server of this queue takes it over by {moment(draft.next_at, now)} at the latest; "
            "the lost attempt counts as a failure."
        )
    else:
        draft.next.append("Servers of this queue take over what others left, and there is none.")
        draft.block([o for o in in_the_way(facts, info) if o.situation is Situation.NO_SERVER])


def _who(facts: Facts, running: AttemptRecord | None) -> tuple[ServerInfo | None, WorkerInfo | None]:
    """The living server that runs the task, and what it says of it."""
    for card in facts.servers:
        for work in card.workers:
            if (work.queue, work.id) == facts.ref:
                return card, work
    if running is not None:
        for card in facts.servers:
            if card.id == running.worker:  # it took it after it had shown its card
                return card, None
    return None, None


def _say_progress(info: TaskInfo, running: AttemptRecord | None, draft: Draft) -> None:
    if info.progress is not None:
        draft.why.append(f"Progress: {info.progress.decode('utf-8', 'replace')}.")
    if running is not None and running.log:
        draft.why.append(f"It said last: {sentence(running.log[-1].text)}")


# --- over -----------------------------------------------------------------------------------------


def _completed(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    draft.situation = Situation.COMPLETED
    until = info.completed_at + info.retention
    done = f"It was done {ago(info.completed_at, facts.now)}" if info.completed_at else "It is done"
    result = "with its result" if info.result is not None else "without a result: it returned nothing"
    draft.why.append(f"{done}, and is kept for {span(info.retention)} {result}.")
    draft.next.append(f"It is deleted {coming(until, facts.now)}, by a server of its queue.")
    draft.next_at = until


def _archived(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    draft.situation = Situation.ARCHIVED
    draft.why.append(_why_archived(info, facts.attempts))
    draft.next.append("Nothing: an archived task stays until the archive is full, or it is too old for it.")
    draft.remedies.append("Try it once more: `asynqio task run`, or `inspector.run(queue, id)`.")
    if info.last_error and info.retried >= info.max_retry:
        draft.remedies.append("If it fails then, it is archived again at once: its retries are used up.")


def _why_archived(info: TaskInfo, attempts: Sequence[AttemptRecord]) -> str:
    last = attempts[-1] if attempts else None
    error = sentence(info.last_error)
    if info.type.startswith("asynqio:"):
        return f"What is stored of it cannot be read, so it was put aside (quarantine): {error}"
    if not info.last_error or (last is not None and last.then is not TaskState.ARCHIVED):
        return "Somebody archived it by hand; nothing that happened to it led there."
    if info.last_error.startswith("crash loop"):
        return f"It is poison: {error}"
    if info.last_error.startswith("the payload does not fit"):
        return f"Trying again cannot help: {error}"
    if info.last_error.startswith("handler not found"):
        return f"The server that took it has no handler for type {info.type!r}, and archives such tasks."
    if info.retried >= info.max_retry:
        tried = f"it has been retried {many(info.max_retry, 'time')}, as often as it may be"
        tried = tried if info.max_retry else "it may not be retried"
        return f"Its last attempt failed, and {tried}: {error}"
    return f"Its handler said that trying again is no use (SkipRetry), or failed too often uncounted: {error}"


def _not_there(facts: Facts, draft: Draft) -> None:
    draft.situation = Situation.NOT_THERE
    queue = facts.ref.queue
    if facts.elsewhere:
        others = ", ".join(repr(name) for name in facts.elsewhere)
        draft.why.append(f"Queue {queue!r} has no task of this id, but there is one in {others}.")
        draft.remedies += [
            f"Look there: `asynqio explain {facts.ref.id} --queue {q}`." for q in facts.elsewhere
        ]
        return
    if facts.stats is None:
        draft.why.append(f"There is no queue {queue!r}.")
    else:
        draft.why.append(f"Queue {queue!r} has no task of this id, and no other queue has one.")
    draft.why.append(
        "It may have been done and not kept (it had no `retention`, or that is over), revoked by its handler, merged "
        "with its group, deleted by somebody, or dropped by a full archive. Or it never came in: refused, as its "
        "producer was told, or the id is not right."
    )
    draft.remedies.append("Give tasks a `retention` to see what became of them.")


# --- the lock -------------------------------------------------------------------------------------


def _say_lock(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    if not info.unique_key or facts.holder is None:
        return
    until = coming(facts.holder.until, facts.now)
    if facts.holder.id == info.id:
        draft.why.append(
            f"It holds a uniqueness lock: others of its kind are refused as duplicates. It ends {until}."
        )
        if not info.is_final:
            draft.remedies.append("To have the lock free at once, delete the task.")
    else:
        draft.why.append(
            f"It holds its uniqueness lock no more: that is held by task {facts.holder.id!r} of this queue, and "
            f"ends {until}."
        )


_SAID: dict[TaskState, Callable[[Facts, TaskInfo, Draft], None]] = {
    TaskState.PENDING: pending,
    TaskState.ACTIVE: _active,
    TaskState.SCHEDULED: scheduled,
    TaskState.RETRY: retry,
    TaskState.ARCHIVED: _archived,
    TaskState.COMPLETED: _completed,
    TaskState.AGGREGATING: aggregating,
}
