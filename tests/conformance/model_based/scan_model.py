"""The part of the model that checks scans."""

from __future__ import annotations

from abc import ABC, abstractmethod

from asynqio.brokers.contract.inspection import Scan, Where
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from tests.conformance.model_based.records import FullScan, S, Stored


class ScanModel(ABC):
    """What a scan must return."""

    @abstractmethod
    def in_state(self, name: str, *states: TaskState) -> list[Stored]: ...

    @abstractmethod
    def info(self, task: Stored) -> TaskInfo: ...

    def matching(self, where: Where) -> dict[TaskRef, Stored]:
        """The tasks that are in a state now."""
        return {
            task.message.ref: task
            for task in self.in_state(where.queue, where.state)
            if where.state is not S.AGGREGATING or task.message.group == where.group
        }

    def start_scan(self, where: Where) -> FullScan:
        return FullScan(where, {ref: task.visit for ref, task in self.matching(where).items()})

    def scanned(self, scan: FullScan, answer: Scan) -> None:
        """Check the answer of one step, and the whole scan after the last step."""
        tasks = self.matching(scan.where)
        for info in answer.infos:
            task = tasks[info.ref]
            assert info == self.info(task)
            scan.returned.append((info.ref, task.visit, task.released))
        assert len(scan.returned) == len(set(scan.returned)), "returned twice"
        scan.after = answer.after
        if not scan.after:
            stayed = {
                ref for ref, visit in scan.staying.items() if ref in tasks and tasks[ref].visit == visit
            }
            assert stayed <= {ref for ref, _, _ in scan.returned}, "left out"
