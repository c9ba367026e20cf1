"""The actions of `asynqio task run`, `archive`, `delete`, `move` and `cancel`, and how messages name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asynqio import Action, CancelOutcome, Inspector, Moved, TaskInfo, TaskState, TransferTo
from asynqio.cli.output.terminal import Refused, hint

#: For each action: what the message says of one task, and the past participle for several.
_MESSAGES = {
    "run": ("is pending now", "made pending"),
    "archive": ("is archived", "archived"),
    "delete": ("is deleted", "deleted"),
    "move": ("is in queue {to} now", "moved to queue {to}"),
    "cancel": ("is cancelled", "cancelled"),
}


class TaskAction(NamedTuple):
    """An action and its parameters: `to` is the target queue of `move`, `final` belongs to `cancel`."""

    name: str
    to: str = ""
    final: bool = False

    @property
    def result(self) -> str:
        """What one task is afterwards: `is deleted`."""
        return _MESSAGES[self.name][0].format(to=self.to)

    @property
    def participle(self) -> str:
        """What happened to several tasks: `deleted`."""
        return _MESSAGES[self.name][1].format(to=self.to)

    @property
    def transition(self) -> Action | TransferTo | None:
        """The argument of `Inspector.apply`. None for `cancel`, which is no transition."""
        if self.name == "cancel":
            return None
        return TransferTo(self.to) if self.name == "move" else Action(self.name)

    @property
    def origins(self) -> frozenset[TaskState]:
        """The states of the tasks that the action applies to."""
        if self.transition is None:
            return frozenset(TaskState) - {TaskState.COMPLETED, TaskState.ARCHIVED}
        return self.transition.origins

    def check(self, queue: str | None) -> None:
        """Raises Refused if the parameters make no sense for tasks of `queue`."""
        if self.name == "move" and not self.to:
            raise Refused("name the target queue: --to QUEUE")
        if self.to and self.to == queue:
            raise Refused(f"the tasks are in queue {queue} already; name another one with --to")

    async def apply(self, inspector: Inspector, infos: Sequence[TaskInfo]) -> Sequence[Moved | CancelOutcome]:
        """Apply the action to tasks. Returns one answer per task."""
        match self.transition:
            case None:
                return await inspector.cancel_many(infos, final=self.final)
            case TransferTo(to):
                return await inspector.transfer(infos, to)
            case action:
                return await inspector.act(action, infos)

    async def warn(self, inspector: Inspector) -> None:
        """Print a hint if tasks were moved to a queue that no server serves."""
        if self.to and not any(self.to in server.queues for server in await inspector.servers()):
            hint(f"no server serves queue {self.to}: the tasks wait until one does")
