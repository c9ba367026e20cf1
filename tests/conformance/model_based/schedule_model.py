"""The part of the model that answers for schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from asynqio.brokers.contract.results import Admission, Fired, Replaced
from asynqio.core.schedules.firing import Fire, ScheduleState
from asynqio.core.task.task import Entry
from tests.conformance.model_based.records import Queue


class ScheduleModel(ABC):
    """The states of schedules, and their ticks."""

    now: float
    queues: dict[str, Queue]

    @abstractmethod
    def queue(self, name: str) -> Queue: ...

    @abstractmethod
    def admit(self, entry: Entry) -> Admission | Replaced: ...

    def schedule_state(self, queue: str, id: str) -> ScheduleState:
        return self.queues.get(queue, Queue()).schedules.get(
            id, ScheduleState(since=self.now, seen_at=self.now)
        )

    def register_schedules(self, queue: str, id: str) -> ScheduleState:
        registered = self.queue(queue).schedules[id] = self.schedule_state(queue, id)._replace(
            seen_at=self.now
        )
        return registered

    def fire(self, one: Fire) -> Fired:
        name = one.entry.message.queue
        state = self.schedule_state(name, one.schedule_id)
        if state.paused or (state.last is not None and state.last >= one.tick):
            return Fired(None, state.paused)
        self.queue(name).schedules[one.schedule_id] = state._replace(last=one.tick)
        return Fired(self.admit(one.entry))

    def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        state = self.schedule_state(queue, id)
        if state.paused is paused:
            return False
        since = state.since if paused else self.now
        self.queue(queue).schedules[id] = state._replace(paused=paused, since=since)
        return True

    def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        known = self.queues.get(queue, Queue()).schedules
        pruned = [id for id in ids if id in known and known[id].seen_at <= before]
        for id in pruned:
            del known[id]
        return len(pruned)
