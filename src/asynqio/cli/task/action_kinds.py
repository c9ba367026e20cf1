"""What `asynqio task` can do to tasks, and how it says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asynqio import Action, Inspector, Moved, TaskInfo, TaskState, TransferTo
from asynqio.cli.output.terminal import Refused, hint

#: Of each verb: what is said of one task, and of many.
_WORDS = {
    "run": ("is pending now", "made pending"),
    "archive": ("is archived", "archived"),
    "delete": ("is deleted", "deleted"),
    "move": ("is in queue {to} now", "moved to queue {to}"),
    "cancel": ("is told to stop", "told to stop"),
}


class Deed(NamedTuple):
    """One of the verbs, with what it needs: `to` is the queue of move, `archive` belongs to cancel."""

    verb: str
    to: str = ""
    archive: bool = False

    @property
    def done(self) -> str:
        """What a task is afterwards."""
        return _WORDS[self.verb][0].format(to=self.to)

    @property
    def past(self) -> str:
        """What was done to tasks."""
        return _WORDS[self.verb][1].format(to=self.to)

    @property
    def action(self) -> Action | TransferTo | None:
        """What an inspector is told; None: that somebody shall be told to stop."""
        if self.verb == "cancel":
            return None
        return TransferTo(self.to) if self.verb == "move" else Action(self.verb)

    @property
    def origins(self) -> frozenset[TaskState]:
        """The states in which tasks can be meant."""
        return frozenset({TaskState.ACTIVE}) if self.action is None else self.action.origins

    def check(self, queue: str | None) -> None:
        """Raises Refused for what means nothing."""
        if self.verb == "move" and not self.to:
            raise Refused("to which queue? Say --to QUEUE")
        if self.to and self.to == queue:
            raise Refused(f"they are in queue {queue} already: name another one with --to")

    async def to_some(self, inspector: Inspector, queue: str, infos: Sequence[TaskInfo]) -> list[Moved]:
        """Do it to tasks of one queue."""
        ids = [info.id for info in infos]
        match self.action:
            case None:
                running = {info.id for info in infos if info.state is TaskState.ACTIVE}
                await inspector.cancel_many(sorted(running), queue=queue, final=self.archive)
                return [Moved.DONE if id in running else Moved.WRONG_STATE for id in ids]
            case TransferTo(to):
                return await inspector.transfer(ids, to, queue=queue)
            case action:
                return await inspector.act(action, ids, queue=queue)

    async def warn(self, inspector: Inspector) -> None:
        """Say what may surprise whoever did it."""
        if self.to and not any(self.to in card.queues for card in await inspector.servers()):
            hint(f"no server works on queue {self.to}: nobody runs them there")
