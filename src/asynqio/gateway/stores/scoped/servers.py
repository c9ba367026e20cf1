"""Servers and schedulers as a principal may see them.

A server of a tenant registers by an id that marks the tenant. A server that serves queues of others too, such as one
that an operator runs beside the gateway, is shown with the tenant's queues and tasks only: its counters, types and
rules could tell of others and are left out. A schedule belongs to the tenant if both its queue and its id do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from asynqio.core.access.actions import Action
from asynqio.core.info import ScheduleInfo, SchedulerInfo, ServerInfo, WorkerInfo
from asynqio.core.schedules.go_options import quote, unquote
from asynqio.gateway.stores.scoped.names import Names
from asynqio.gateway.stores.scoped.permissions import NEEDS, Guard

_replace = msgspec.structs.replace
_PAYLOAD = (Action.READ_PAYLOAD,)
#: How Go's tools write the queue among the options of a schedule.
_QUEUE = "Queue("


# --- on the way in --------------------------------------------------------------------------------


def stored_server(names: Names, info: ServerInfo) -> ServerInfo:
    """The registration of a server of the tenant."""
    return _replace(
        info,
        id=names.stored_server(info.id),
        queues={names.stored(queue): priority for queue, priority in info.queues.items()},
        workers=[_replace(worker, queue=names.stored(worker.queue)) for worker in info.workers],
    )


def stored_scheduler(names: Names, info: SchedulerInfo) -> SchedulerInfo:
    """The registration of a scheduler of the tenant."""
    entries = [
        _replace(
            entry,
            id=names.stored(entry.id),
            queue=names.stored(entry.queue),
            options=list(_renamed(entry.options, names.stored)),
        )
        for entry in info.entries
    ]
    return _replace(info, id=names.stored_server(info.id), entries=entries)


# --- on the way out -------------------------------------------------------------------------------


def shown_server(names: Names, guard: Guard, info: ServerInfo) -> ServerInfo | None:
    """A server as the principal may see it; None: not at all."""
    owned = {names.shown(queue): at for queue, at in info.queues.items() if names.owns(queue)}
    queues = {queue: at for queue, at in owned.items() if guard.may(NEEDS["servers"], queue, None)}
    if not queues and (info.queues or not names.owns_server(info.id)):
        return None
    workers = [
        _shown_worker(guard, names.shown(worker.queue), worker)
        for worker in info.workers
        if names.owns(worker.queue) and guard.may(NEEDS["servers"], names.shown(worker.queue), worker.type)
    ]
    shown = _replace(info, id=names.shown_server(info.id), queues=queues, workers=workers)
    if len(owned) == len(info.queues):
        return shown
    return _replace(shown, processed=0, failed=0, refused=0, unmerged=0, types=None, group_rules={})


def _shown_worker(guard: Guard, queue: str, worker: WorkerInfo) -> WorkerInfo:
    payload = worker.payload if guard.may(_PAYLOAD, queue, worker.type) else None
    return _replace(worker, queue=queue, payload=payload)


def shown_scheduler(names: Names, guard: Guard, info: SchedulerInfo) -> SchedulerInfo | None:
    """A scheduler as the principal may see it; None: not at all."""
    entries = [
        _shown_schedule(names, guard, entry)
        for entry in info.entries
        if names.owns(entry.queue)
        and names.owns(entry.id)
        and guard.may(NEEDS["schedulers"], names.shown(entry.queue), entry.type)
    ]
    if not entries and (info.entries or not names.owns_server(info.id)):
        return None
    return _replace(info, id=names.shown_server(info.id), entries=entries)


def _shown_schedule(names: Names, guard: Guard, entry: ScheduleInfo) -> ScheduleInfo:
    queue = names.shown(entry.queue)
    return _replace(
        entry,
        id=names.shown(entry.id),
        queue=queue,
        payload=entry.payload if guard.may(_PAYLOAD, queue, entry.type) else None,
        options=list(_renamed(entry.options, lambda name: names.shown(name) if names.owns(name) else None)),
    )


def _renamed(options: Iterable[str], rename: Callable[[str], str | None]) -> Iterator[str]:
    """The options of a schedule with its queue renamed; without it if the queue has no other name."""
    for option in options:
        if not option.startswith(_QUEUE):
            yield option
            continue
        try:
            queue = rename(unquote(option.removeprefix(_QUEUE).removesuffix(")")))
        except ValueError:
            continue  # no reader could use it
        if queue is not None:
            yield f"{_QUEUE}{quote(queue)})"
