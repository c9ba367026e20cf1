"""Why a task waits, and for what, in sentences. Pure."""

from __future__ import annotations

from asynqio.core.attempts.record import AttemptOutcome
from asynqio.core.explain.blockers import Blocker, Situation, blockers, serving, silent
from asynqio.core.explain.humanize import ago, coming, many, moment, sentence, since, span
from asynqio.core.explain.model import Draft, Facts
from asynqio.core.groups import GroupRules
from asynqio.core.task.message import TaskInfo


def in_the_way(facts: Facts, info: TaskInfo) -> list[Blocker]:
    paused = info.type in facts.paused_types
    return list(blockers(facts.ref.queue, info.type, facts.stats, facts.servers, type_paused=paused))


def pending(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    found = in_the_way(facts, info)
    waits = (
        f"It has been pending {since(info.pending_since, facts.now)}."
        if info.pending_since
        else "It is pending."
    )
    draft.why.append(waits)
    draft.block(found)
    stats = facts.stats
    others = stats.pending - 1 if stats is not None else 0
    if others > 0 and stats is not None:
        draft.why.append(
            f"{many(others, 'other task')} wait in the queue with it; the first in line has waited for "
            f"{span(stats.latency)}."
        )
    if found:
        draft.situation = found[0].situation
        if all(one.situation is Situation.TYPE_IS_PAUSED for one in found):
            draft.next.append(
                "A server takes it and puts it off, uncounted, again and again, until the type is resumed."
            )
        elif found[0].situation is Situation.NO_HANDLER:
            draft.next.append(
                "A server takes it and puts it off, uncounted, again and again, until there is a handler; or does as "
                "its `unknown_tasks` says."
            )
        else:
            draft.next.append("Nothing, until that is changed; then it is run in its turn.")
        return
    draft.situation = Situation.IN_LINE
    draft.next.append("A server runs it as soon as it is first in line and a slot is free.")
    there = serving(facts.ref.queue, facts.servers)
    busy, slots = sum(len(card.workers) for card in there), sum(card.concurrency for card in there)
    draft.why.append(f"{many(len(there), 'server')} on this queue, {busy} of {slots} slots busy.")
    if busy >= slots:
        draft.remedies.append("Start more servers, or give those that are there more slots (`concurrency`).")
    if quiet := silent(facts.ref.queue, info.type, facts.servers):
        draft.why.append(
            f"Whether there is a handler for {info.type!r} is not known: "
            f"{', '.join(card.id for card in quiet)} does not say (Go's servers never do)."
        )


def scheduled(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    draft.situation = Situation.WAITS_FOR_ITS_TIME
    if info.next_process_at > facts.now:
        draft.why.append(f"It is not due yet: it waits until {moment(info.next_process_at, facts.now)}.")
    else:
        draft.why.append(
            f"It has been due {since(info.next_process_at, facts.now)}, and nobody has moved it on."
        )
    _say_due(facts, info, draft)


def retry(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    draft.situation = Situation.WAITS_FOR_ITS_RETRY
    last = facts.attempts[-1] if facts.attempts else None
    if info.last_error.startswith("handler not found"):
        draft.why.append(f"The server that took it has no handler for type {info.type!r} and put it off.")
    elif last is not None and last.outcome is AttemptOutcome.DEFERRED:
        draft.why.append(f"It was put off, which does not count as a retry: {sentence(info.last_error)}")
    elif info.last_error:
        draft.why.append(
            f"Its last attempt failed: {sentence(info.last_error)} "
            f"That was failure {info.retried} of the {info.max_retry + 1} that it may have."
        )
    else:
        draft.why.append("The server that took it put it off.")
    if info.crashes:
        draft.why.append(f"{many(info.crashes, 'worker')} in a row died while running it.")
    _say_due(facts, info, draft)


def _say_due(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    found = in_the_way(facts, info)
    draft.remedies += [obstacle.remedy for obstacle in found]
    if info.next_process_at <= facts.now and not serving(facts.ref.queue, facts.servers):
        draft.next.append("Nothing: servers of a queue move its due tasks on, and there is none.")
        draft.why += [obstacle.sentence for obstacle in found]
        return
    where = f"joins its group {info.group!r}" if info.group else "is pending"
    draft.next.append(f"It {where} {coming(info.next_process_at, facts.now)}, and is run in its turn.")
    draft.next_at = info.next_process_at
    if found:
        draft.next.append("But then it will not be run: " + " ".join(obstacle.sentence for obstacle in found))
    else:
        draft.remedies.append(
            "Do not wait: `asynqio task run`, or `inspector.run(queue, id)`, makes it pending now."
        )


def aggregating(facts: Facts, info: TaskInfo, draft: Draft) -> None:
    draft.situation = Situation.IN_A_GROUP
    now, group = facts.now, facts.group
    if group is None:
        draft.why.append(
            f"It is part of a batch of group {info.group!r} that a server makes one task of right now."
        )
        draft.next.append(
            "The batch becomes one task, and this one is gone; if that fails, it is back in its group."
        )
        return
    draft.why.append(
        f"It waits in group {info.group!r}, which has {many(group.size, 'member')}; "
        f"the last one came {ago(group.newest_at, now)}."
    )
    there = serving(facts.ref.queue, facts.servers)
    rules = [
        rule for card in there if (rule := GroupRules(card.group_rules).rule_for(info.group)) is not None
    ]
    if rules:
        ripe = any(rule.ripe(group.size, group.oldest_at, group.newest_at, now) for rule in rules)
        at = now if ripe else min(rule.ripe_at(group.oldest_at, group.newest_at) for rule in rules)
        until = "" if ripe else ", if nobody joins it until then"
        draft.next.append(f"The group is ripe {coming(at, now)}{until}; its members become one task.")
        draft.next_at = at
        return
    found = [o for o in in_the_way(facts, info) if o.situation is Situation.NO_SERVER]
    draft.block(found)
    if not found and any(card.types is None for card in there):
        draft.next.append("When the group is ripe is for Go's servers to say, and they do not.")
    elif not found:
        draft.why.append(
            f"No server on queue {facts.ref.queue!r} aggregates: none has an aggregate function."
        )
        draft.remedies.append("Start a server whose app has `@app.aggregate`.")
    draft.remedies.append("Run it by itself: `asynqio task run`, or `inspector.run(queue, id)`.")
