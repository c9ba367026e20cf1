"""Schedules: their states, the ticks taken, and their events."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from asynqio.brokers.contract.inspection import Page
from asynqio.brokers.contract.limits import FIRES_AGE, FIRES_KEPT
from asynqio.brokers.contract.results import Fired
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.memory.operations.enqueue import admit
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState


def register_schedules(store: MemoryStore, now: float, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
    """See Broker.register_schedules."""
    with store.lock:
        states = store.queue(queue).schedules
        for id in ids:
            states[id] = states.get(id, ScheduleState(since=now))._replace(seen_at=now)
        return [states[id] for id in ids]


def fire(store: MemoryStore, now: float, fires: Sequence[Fire]) -> list[Fired]:
    """See Broker.fire."""
    topics: set[Topic] = set()
    with store.lock:
        answers = [_fire(store, one, now, topics) for one in fires]
    store.signals.publish(topics)
    return answers


def _fire(store: MemoryStore, one: Fire, now: float, topics: set[Topic]) -> Fired:
    states = store.queue(one.entry.message.queue).schedules
    state = states.get(one.schedule_id, ScheduleState(since=now, seen_at=now))
    if state.paused:
        return Fired(None, paused=True)
    if state.last is not None and state.last >= one.tick:
        return Fired(None)
    states[one.schedule_id] = state._replace(last=one.tick)
    return Fired(admit(store, one.entry, now, topics))


def record(store: MemoryStore, events: Sequence[FireEvent]) -> None:
    """See Broker.record."""
    with store.lock:
        for event in events:
            kept = store.fires.setdefault(event.schedule_id, deque(maxlen=FIRES_KEPT))
            kept.appendleft(event)


def prune_schedules(store: MemoryStore, now: float, queue: str, ids: Sequence[str], before: float) -> int:
    """See Broker.prune_schedules. Also deletes events older than FIRES_AGE."""
    with store.lock:
        states = store.queues[queue].schedules if queue in store.queues else {}
        pruned = [id for id in ids if id in states and states[id].seen_at <= before]
        for id in pruned:
            del states[id]
        for id in [id for id, events in store.fires.items() if _too_old(events, now)]:
            del store.fires[id]
    return len(pruned)


def _too_old(events: deque[FireEvent], now: float) -> bool:
    return events[0].at <= now - FIRES_AGE


# --- inspection -----------------------------------------------------------------------------------


def schedule_states(store: MemoryStore, queue: str) -> dict[str, ScheduleState]:
    """See Inspection.schedule_states."""
    with store.lock:
        found = store.queues.get(queue)
        return dict(sorted(found.schedules.items())) if found is not None else {}


def pause_schedule(store: MemoryStore, now: float, queue: str, id: str, paused: bool) -> bool:
    """See Inspection.pause_schedule."""
    with store.lock:
        if not paused and queue not in store.queues:
            return False
        states = store.queue(queue).schedules
        state = states.get(id, ScheduleState(since=now, seen_at=now))
        if state.paused is paused:
            return False
        states[id] = state._replace(paused=paused, since=state.since if paused else now)
        return True


def fires(store: MemoryStore, now: float, schedule_id: str, page: Page) -> list[FireEvent]:
    """See Inspection.fires."""
    with store.lock:
        events = store.fires.get(schedule_id)
        if events is None or _too_old(events, now):
            return []
        return list(events)[page.offset : page.offset + page.size]
