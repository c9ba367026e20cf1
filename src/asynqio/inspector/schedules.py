"""The part of `Inspector` that looks at schedules and acts on them."""

from __future__ import annotations

import asyncio
import math

import msgspec

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
    """Schedules by their ids. Raises EntryNotFound where one is named that nobody serves."""

    broker: Store

    # --- look -------------------------------------------------------------------------------------

    async def schedulers(self) -> list[SchedulerInfo]:
        """The schedulers that showed a sign of life lately, of ours and on Redis of Go's."""
        return await self.broker.schedulers()

    async def schedules(self) -> list[ScheduleInfo]:
        """The entries of all schedulers, each once, by queue and id."""
        return sorted(
            (card for card, _ in (await self._served()).values()), key=lambda card: (card.queue, card.id)
        )

    async def schedule(self, id: str) -> ScheduleInfo:
        card, _ = await self._one(id)
        return card

    async def fires(self, id: str, *, size: int = 30, offset: int = 0) -> list[FireEvent]:
        """What a schedule has put in, newest first; also of one that is gone."""
        return await self.broker.fires(id, Page(size, offset))

    async def upcoming(self, id: str, count: int = 5) -> list[float]:
        """The next times at which a schedule fires, in epoch seconds."""
        card, ours = await self._one(id)
        if not ours:  # Go counts `@every` from the start of its scheduler: only it knows
            return [] if card.next_at is None else [card.next_at]
        now = self.broker.clock.now()
        return await asyncio.to_thread(
            lambda: upcoming(parse_schedule(card.spec, card.zone), now, count, aligned=True)
        )

    # --- act --------------------------------------------------------------------------------------

    async def pause_schedule(self, id: str) -> bool:
        """Fire it no more, whoever serves it. False: it was paused already."""
        return await self._hold(id, True)

    async def resume_schedule(self, id: str) -> bool:
        """Fire it again; what was due meanwhile is not made up. False: it was not paused."""
        return await self._hold(id, False)

    async def reset_schedule(self, id: str) -> None:
        """Forget its last tick and whether it is paused: after a clock was wrong, it fires again from now on."""
        for queue in await self._queues_of(id):
            await self.broker.prune_schedules(queue, [id], math.inf)

    async def trigger(self, id: str) -> TaskInfo:
        """Put its task in now, whatever the clock says; its ticks go on as ever. Raises as `Client.enqueue`."""
        card, _ = await self._one(id)
        options = read_options(card.options)
        options.pop("process_at", None)
        options.pop("process_in", None)
        task = Task(card.type, card.payload, **options)
        headers = {**options.get("headers", {}), SCHEDULE_HEADER: card.id}
        info = await Client(self.broker).enqueue(task, headers=headers)
        await self.broker.record([FireEvent(card.id, info.id, self.broker.clock.now())])
        return info

    async def _hold(self, id: str, paused: bool) -> bool:
        changed = [await self.broker.pause_schedule(queue, id, paused) for queue in await self._queues_of(id)]
        return any(changed)

    # --- helpers ----------------------------------------------------------------------------------

    async def _served(self) -> dict[tuple[str, str], tuple[ScheduleInfo, bool]]:
        """The entries by queue and id, as the store knows them now; and whether ours are among who serves each."""
        found: dict[tuple[str, str], tuple[ScheduleInfo, bool]] = {}
        for scheduler in await self.broker.schedulers():
            ours = scheduler.started_at > 0
            for card in scheduler.entries:
                key = (card.queue, card.id)
                found[key] = (card, ours or found.get(key, (card, False))[1])
        known = {queue: await self.broker.schedule_states(queue) for queue in {queue for queue, _ in found}}
        for (queue, id), (card, ours) in found.items():
            if (standing := known[queue].get(id)) is not None:
                fresh = msgspec.structs.replace(card, prev_at=standing.last, paused=standing.paused)
                found[queue, id] = (fresh, ours)
        return found

    async def _one(self, id: str) -> tuple[ScheduleInfo, bool]:
        for card, ours in (await self._served()).values():
            if card.id == id:
                return card, ours
        raise EntryNotFound(id)

    async def _queues_of(self, id: str) -> list[str]:
        """The queues in which something is known of it: also if no scheduler is there at the moment."""
        served = [(queue, ours) for (queue, name), (_, ours) in (await self._served()).items() if name == id]
        if served and not any(ours for _, ours in served):
            raise WrongState(
                f"schedule {id!r} is served by a scheduler of Go's, which cannot be told to pause"
            )
        known = [
            queue for queue in await self.broker.queues() if id in await self.broker.schedule_states(queue)
        ]
        if not served and not known:
            raise EntryNotFound(id)
        return sorted({*known, *(queue for queue, _ in served)})
