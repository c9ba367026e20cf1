"""The schedule methods of `asynqio.sync.Inspector`."""

from __future__ import annotations

from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.core.schedules.firing import FireEvent
from asynqio.core.task.message import TaskInfo
from asynqio.inspector.schedules import ScheduleInspector as _ScheduleInspector
from asynqio.sync.portal import Portal


class ScheduleInspector:
    """The same base class as that of `asynqio.Inspector`, blocking."""

    @property
    def _schedules(self) -> _ScheduleInspector:
        raise NotImplementedError

    @property
    def _through(self) -> Portal:
        raise NotImplementedError

    def schedulers(self) -> list[SchedulerInfo]:
        """See `asynqio.Inspector.schedulers`."""
        return self._through.call(self._schedules.schedulers)

    def schedules(self) -> list[ScheduleInfo]:
        """See `asynqio.Inspector.schedules`."""
        return self._through.call(self._schedules.schedules)

    def schedule(self, id: str) -> ScheduleInfo:
        """See `asynqio.Inspector.schedule`."""
        return self._through.call(self._schedules.schedule, id)

    def fires(self, id: str, *, size: int = 30, offset: int = 0) -> list[FireEvent]:
        """See `asynqio.Inspector.fires`."""
        return self._through.call(self._schedules.fires, id, size=size, offset=offset)

    def upcoming(self, id: str, count: int = 5) -> list[float]:
        """See `asynqio.Inspector.upcoming`."""
        return self._through.call(self._schedules.upcoming, id, count)

    def pause_schedule(self, id: str) -> bool:
        """See `asynqio.Inspector.pause_schedule`."""
        return self._through.call(self._schedules.pause_schedule, id)

    def resume_schedule(self, id: str) -> bool:
        """See `asynqio.Inspector.resume_schedule`."""
        return self._through.call(self._schedules.resume_schedule, id)

    def reset_schedule(self, id: str) -> None:
        """See `asynqio.Inspector.reset_schedule`."""
        self._through.call(self._schedules.reset_schedule, id)

    def trigger(self, id: str) -> TaskInfo:
        """See `asynqio.Inspector.trigger`."""
        return self._through.call(self._schedules.trigger, id)
