"""Explains why a task waits, and for what. Pure."""

from __future__ import annotations

from asynqio.core.attempts.record import AttemptOutcome
from asynqio.core.explain.blockers import Blocker, Situation, blockers, serving, silent
from asynqio.core.explain.humanize import ago, coming, many, moment, sentence, since, span
from asynqio.core.explain.model import Draft, Facts, advise
from asynqio.core.groups import GroupRules
from asynqio.core.task.message import TaskInfo


def blockers_of(facts: Facts, info: TaskInfo) -> list[Blocker]:
    """The reasons why the task would not run if it were pending."""
    paused = info.type in facts.paused_types
    return list(blockers(facts.ref.queue, info.type, facts.stats, facts.servers, type_paused=paused))


def pending(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    """Explain a pending task."""
    found = blockers_of(facts, info)
    since_when = since(info.pending_since, facts.now) if info.pending_since else ""
    draft.why.append(f"It has been pending {since_when}." if since_when else "It is pending.")
    draft.block(found)
    stats = facts.stats
    others = stats.pending - 1 if stats is not None else 0
    if others > 0 and stats is not None:
        draft.why.append(
            f"The queue has {many(others, 'other pending task')}; the oldest has waited {span(stats.latency)}."
        )
    if found:
        draft.situation = found[0].situation
        draft.next.append(_next_if_blocked(found))
        return
    draft.situation = Situation.WAITING_FOR_SLOT
    draft.next.append("A server runs it as soon as it is first in the queue and a slot is free.")
    servers = serving(facts.ref.queue, facts.servers)
    busy, slots = (
        sum(len(server.workers) for server in servers),
        sum(server.concurrency for server in servers),
    )
    draft.why.append(f"{many(len(servers), 'server')} on this queue, {busy} of {slots} slots busy.")
    if busy >= slots:
        draft.remedies.append("Start more servers or increase their `concurrency`.")
    if quiet := silent(facts.ref.queue, info.type, facts.servers):
        draft.why.append(
            f"It is unknown whether a server has a handler for {info.type!r}: these servers do not report their "
            f"types (servers of Go never do): {', '.join(server.id for server in quiet)}."
        )


def _next_if_blocked(found: list[Blocker]) -> str:
    if all(one.situation is Situation.TYPE_PAUSED for one in found):
        return "Servers dequeue it and defer it, uncounted, until the type is resumed."
    if found[0].situation is Situation.NO_HANDLER:
        return (
            "Servers dequeue it and defer it, uncounted, until a server has a handler, unless `unknown_tasks` says "
            "otherwise."
        )
    return "It stays pending until the cause is removed."


def scheduled(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    """Explain a scheduled task."""
    draft.situation = Situation.SCHEDULED
    if info.next_process_at > facts.now:
        draft.why.append(f"It is scheduled for {moment(info.next_process_at, facts.now)}.")
    else:
        draft.why.append(
            f"It has been due {since(info.next_process_at, facts.now)}, but no server has forwarded it."
        )
    _explain_due(facts, info, draft)


def retry(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    """Explain a task that waits for a retry, or was deferred."""
    draft.situation = Situation.WAITING_FOR_RETRY
    last = facts.attempts[-1] if facts.attempts else None
    if info.last_error.startswith("handler not found"):
        draft.why.append(
            f"The server that dequeued it has no handler for type {info.type!r} and deferred it."
        )
    elif last is not None and last.outcome is AttemptOutcome.DEFERRED:
        draft.why.append(f"It was deferred, which does not count as a retry: {sentence(info.last_error)}")
    elif info.last_error:
        draft.why.append(
            f"Its last attempt failed: {sentence(info.last_error)} "
            f"That was failure {info.retried} of at most {info.max_retry + 1}."
        )
    else:
        draft.why.append("The server that dequeued it deferred it.")
    if info.crashes:
        draft.why.append(f"{many(info.crashes, 'worker')} in a row died while running it.")
    _explain_due(facts, info, draft)


def _explain_due(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    found = blockers_of(facts, info)
    draft.remedies += [blocker.remedy for blocker in found]
    if info.next_process_at <= facts.now and not serving(facts.ref.queue, facts.servers):
        draft.next.append("Nothing: only a server on this queue can forward the task.")
        draft.why += [blocker.sentence for blocker in found]
        return
    action = f"joins its group {info.group!r}" if info.group else "becomes pending"
    draft.next.append(f"It {action} {coming(info.next_process_at, facts.now)}.")
    draft.next_at = info.next_process_at
    if found:
        draft.next.append("It cannot run then: " + " ".join(blocker.sentence for blocker in found))
    else:
        draft.remedies.append(advise("Run it alone now" if info.group else "Run it now", "run", facts.ref))


def advise_run(facts: Facts, info: TaskInfo, draft: Draft, action: str) -> None:
    """Advise to make the task pending, and first to remove what would keep it from running then."""
    found = blockers_of(facts, info)
    draft.remedies += [blocker.remedy for blocker in found if blocker.remedy not in draft.remedies]
    if not draft.remedies:
        draft.remedies.append(advise(action, "run", facts.ref))
    else:
        draft.remedies.append(advise(f"Then {action[0].lower()}{action[1:]}", "run", facts.ref))


def aggregating(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    """Explain a member of a group."""
    draft.situation = Situation.IN_GROUP
    now, group = facts.now, facts.group
    if group is None:
        draft.why.append(f"A server is aggregating a batch of group {info.group!r} that contains it.")
        draft.next.append(
            "The batch becomes one task, and this task is deleted. If aggregation fails, it returns to its group."
        )
        return
    draft.why.append(
        f"It waits in group {info.group!r}, which has {many(group.size, 'member')}; "
        f"the newest joined {ago(group.newest_at, now)}."
    )
    if (failure := group.failure) is not None:
        draft.why.append(
            f"Aggregating the group failed {many(failure.failures, 'time')} in a row, last "
            f"{ago(failure.failed_at, now)}: {sentence(failure.error)}"
        )
    servers = serving(facts.ref.queue, facts.servers)
    rules = [
        rule for one in servers if (rule := GroupRules(one.group_rules).rule_for(info.group)) is not None
    ]
    if rules:
        retry_at = group.failure.retry_at if group.failure is not None else 0.0
        times = (group.oldest_at, group.newest_at)
        ripe = any(rule.ripe(group.size, *times, now, 0.0, retry_at) for rule in rules)
        at = now if ripe else min(rule.ripe_at(group.size, *times, retry_at) for rule in rules)
        condition = "" if ripe else ", if no member joins before"
        if group.failure is not None and not ripe and at == retry_at:
            draft.next.append(f"The group is tried again {coming(at, now)}.")
            draft.remedies.append(
                f"Correct the aggregate function, then try at once: `inspector.flush_group({facts.ref.queue!r}, "
                f"{info.group!r})`."
            )
        else:
            draft.next.append(
                f"The group is ripe {coming(at, now)}{condition}; then its members become one task."
            )
        draft.next_at = at
        return
    found = [one for one in blockers_of(facts, info) if one.situation is Situation.NO_SERVER]
    draft.block(found)
    if not found and any(server.types is None for server in servers):
        draft.next.append("Servers of Go decide when the group is ripe, and do not report their rules.")
    elif not found:
        draft.why.append(f"No server on queue {facts.ref.queue!r} has an aggregate function for this group.")
        draft.remedies.append("Start a server whose app has an `@app.aggregate` function for this group.")
    if not blockers_of(facts, info):
        draft.remedies.append(advise("Run it alone", "run", facts.ref))
