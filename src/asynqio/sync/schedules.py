"""The part of `asynqio.sync.facade.Inspector` that looks at schedules and acts on them."""

from __future__ import annotations

from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.core.schedules.firing import FireEvent
from asynqio.core.task.message import TaskInfo
from asynqio.inspector.schedules import ScheduleInspector as _ScheduleInspector
from asynqio.sync.portal import Portal


class ScheduleInspector:
    """asynqio.inspector.schedules.ScheduleInspector, blocking."""

    @property
    def _schedules(self) -> _ScheduleInspector:
        raise NotImplementedError

    @property
    def _through(self) -> Portal:
        raise NotImplementedError

    def schedulers(self) -> list[SchedulerInfo]:
        return self._through.call(self._schedules.schedulers)

    def schedules(self) -> list[ScheduleInfo]:
        return self._through.call(self._schedules.schedules)

    def schedule(self, id: str) -> ScheduleInfo:
        return self._through.call(self._schedules.schedule, id)

    def fires(self, id: str, *, size: int = 30, offset: int = 0) -> list[FireEvent]:
        return self._through.call(self._schedules.fires, id, size=size, offset=offset)

    def upcoming(self, id: str, count: int = 5) -> list[float]:
        return self._through.call(self._schedules.upcoming, id, count)

    def pause_schedule(self, id: str) -> bool:
        return self._through.call(self._schedules.pause_schedule, id)

    def resume_schedule(self, id: str) -> bool:
        return self._through.call(self._schedules.resume_schedule, id)

    def reset_schedule(self, id: str) -> None:
        self._through.call(self._schedules.reset_schedule, id)

    def trigger(self, id: str) -> TaskInfo:
        return self._through.call(self._schedules.trigger, id)
