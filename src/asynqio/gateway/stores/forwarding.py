"""What a wrapper of a store passes on unchanged."""

from __future__ import annotations

from typing import Self

from asynqio.brokers.contract.broker import Store


class ForwardingStore:
    """The methods of `store`, bound to it, so that a call costs nothing. It is a `Store` together with `clone`,
    `enqueue`, `dequeue`, `settle`, `renew` and `find`, which a wrapper adds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.clock = store.clock
        self.shared = store.shared

        self.ping = store.ping
        self.watch = store.watch
        self.check = store.check
        self.producer = store.producer
        self.renew_owner = store.renew_owner
        self.write_output = store.write_output
        self.attempts = store.attempts
        self.paused_types = store.paused_types

        self.forward = store.forward
        self.expired = store.expired
        self.accepts_writes = store.accepts_writes
        self.sweep = store.sweep

        self.claim_groups = store.claim_groups
        self.renew_batches = store.renew_batches
        self.merge_group = store.merge_group
        self.delete_batch = store.delete_batch
        self.return_batch = store.return_batch

        self.register_schedules = store.register_schedules
        self.fire = store.fire
        self.record = store.record
        self.prune_schedules = store.prune_schedules

        self.beat = store.beat
        self.leave = store.leave
        self.cancel = store.cancel
        self.cancellations = store.cancellations

        self.queues = store.queues
        self.stats = store.stats
        self.memory_usage = store.memory_usage
        self.history = store.history
        self.groups = store.groups
        self.group_names = store.group_names
        self.tasks = store.tasks
        self.scan = store.scan
        self.lock_holder = store.lock_holder

        self.move = store.move
        self.move_all = store.move_all
        self.transfer = store.transfer
        self.rewrite = store.rewrite
        self.flush_group = store.flush_group
        self.pause = store.pause
        self.pause_type = store.pause_type
        self.remove_queue = store.remove_queue

        self.servers = store.servers
        self.schedulers = store.schedulers
        self.schedule_states = store.schedule_states
        self.pause_schedule = store.pause_schedule
        self.fires = store.fires

        self.collection = store.collection
        self.put_document = store.put_document
        self.append_log = store.append_log
        self.read_log = store.read_log
        self.nodes = store.nodes
        self.examine = store.examine

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def private_url(self) -> str:
        return self._store.private_url

    @property
    def archive_limit(self) -> int:
        return self._store.archive_limit

    @property
    def round_trip(self) -> float:
        return self._store.round_trip

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._store.__aexit__(*exc)
