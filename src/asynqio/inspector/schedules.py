"""The schedule methods of `Inspector`."""

from __future__ import annotations

import math

import msgspec

from asynqio.blocking import run_blocking
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page
from asynqio.client import Client
from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.core.schedules.cron import parse_schedule
from asynqio.core.schedules.firing import SCHEDULE_HEADER, FireEvent
from asynqio.core.schedules.go_options import read_options
from asynqio.core.schedules.next_time import upcoming
from asynqio.core.task.message import TaskInfo
from asynqio.core.task.task import Task
from asynqio.errors import EntryNotFound, WrongState


class ScheduleInspector:
    """Inspects schedules and acts on them. `id` is the id of a schedule. Raises EntryNotFound if no scheduler
    serves it."""

    broker: Store

    # --- inspect -------------------------------------------------------------------------------------

    async def schedulers(self) -> list[SchedulerInfo]:
        """The live schedulers: those with a recent heartbeat; on Redis, Go schedulers too."""
        return await self.broker.schedulers()

    async def schedules(self) -> list[ScheduleInfo]:
        """The entries of all schedulers, each once, sorted by queue and id."""
        return sorted(
            (info for info, _ in (await self._served()).values()), key=lambda info: (info.queue, info.id)
        )

    async def schedule(self, id: str) -> ScheduleInfo:
        """One schedule. Raises EntryNotFound."""
        info, _ = await self._one(id)
        return info

    async def fires(self, id: str, *, size: int = 30, offset: int = 0) -> list[FireEvent]:
        """The tasks that a schedule has enqueued, newest first: `size` events from number `offset` on. Also for a
        schedule that no scheduler serves."""
        return await self.broker.fires(id, Page(size, offset))

    async def upcoming(self, id: str, count: int = 5) -> list[float]:
        """The next `count` times at which a schedule fires, in seconds since the epoch. One for a Go schedule."""
        info, ours = await self._one(id)
        if not ours:  # only a Go scheduler knows from when it counts `@every`
            return [] if info.next_at is None else [info.next_at]
        now = self.broker.clock.now()
        return await run_blocking(
            lambda: upcoming(parse_schedule(info.spec, info.zone), now, count, aligned=True)
        )

    # --- act --------------------------------------------------------------------------------------

    async def pause_schedule(self, id: str) -> bool:
        """Pause a schedule in all schedulers. False: it was paused already. Raises EntryNotFound, WrongState (a Go
        scheduler serves it)."""
        return await self._set_paused(id, True)

    async def resume_schedule(self, id: str) -> bool:
        """Resume a schedule; ticks during the pause are not made up. False: it was not paused."""
        return await self._set_paused(id, False)

    async def reset_schedule(self, id: str) -> None:
        """Forget the last tick of a schedule and whether it is paused: after a wrong clock, it fires again from now
        on."""
        for queue in await self._queues_of(id):
            await self.broker.prune_schedules(queue, [id], math.inf)

    async def trigger(self, id: str) -> TaskInfo:
        """Enqueue the task of a schedule now; its ticks are unaffected. Raises EntryNotFound, and as
        `Client.enqueue`."""
        schedule, _ = await self._one(id)
        options = read_options(schedule.options)
        options.pop("process_at", None)
        options.pop("process_in", None)
        task = Task(schedule.type, schedule.payload, **options)
        headers = {**options.get("headers", {}), SCHEDULE_HEADER: schedule.id}
        info = await Client(self.broker).enqueue(task, headers=headers)
        await self.broker.record([FireEvent(schedule.id, info.id, self.broker.clock.now())])
        return info

    async def _set_paused(self, id: str, paused: bool) -> bool:
        changed = [await self.broker.pause_schedule(queue, id, paused) for queue in await self._queues_of(id)]
        return any(changed)

    # --- helpers ----------------------------------------------------------------------------------

    async def _served(self) -> dict[tuple[str, str], tuple[ScheduleInfo, bool]]:
        """The entries by queue and id, with their state in the store, and whether an asynqio scheduler serves
        them."""
        found: dict[tuple[str, str], tuple[ScheduleInfo, bool]] = {}
        for scheduler in await self.broker.schedulers():
            ours = scheduler.started_at > 0
            for entry in scheduler.entries:
                key = (entry.queue, entry.id)
                found[key] = (entry, ours or found.get(key, (entry, False))[1])
        known = {queue: await self.broker.schedule_states(queue) for queue in {queue for queue, _ in found}}
        for (queue, id), (entry, ours) in found.items():
            if (state := known[queue].get(id)) is not None:
                fresh = msgspec.structs.replace(entry, prev_at=state.last, paused=state.paused)
                found[queue, id] = (fresh, ours)
        return found

    async def _one(self, id: str) -> tuple[ScheduleInfo, bool]:
        for info, ours in (await self._served()).values():
            if info.id == id:
                return info, ours
        raise EntryNotFound(id)

    async def _queues_of(self, id: str) -> list[str]:
        """The queues that know this schedule, also while no scheduler serves it."""
        served = [(queue, ours) for (queue, name), (_, ours) in (await self._served()).items() if name == id]
        if served and not any(ours for _, ours in served):
            raise WrongState(
                f"schedule {id!r} is served by a Go scheduler, which cannot be paused: stop it instead"
            )
        known = [
            queue for queue in await self.broker.queues() if id in await self.broker.schedule_states(queue)
        ]
        if not served and not known:
            raise EntryNotFound(id)
        return sorted({*known, *(queue for queue, _ in served)})
