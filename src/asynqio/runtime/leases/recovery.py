"""What recovering needs of the process that recovers."""

from __future__ import annotations

from typing import Protocol

from asynqio.core.lifecycle import Lease, Outcome, Settlement
from asynqio.runtime.events import Events


class Recovery(Protocol):
    """Knows the leases of its own process, and decides what happens to the tasks of dead ones. (`Runner` is one.)"""

    @property
    def events(self) -> Events:
        """Receives `TaskRecovered`."""
        ...

    def is_running(self, lease: Lease) -> bool:
        """Whether this process holds this very lease: then it is not recovered, even if it has lapsed."""
        ...

    def decide(self, lease: Lease, outcome: Outcome) -> Settlement:
        """What follows on the end of an attempt. Raises what makes the task unrecoverable for now."""
        ...

    async def run_hooks(self, outcome: Outcome, settlement: Settlement) -> None:
        """Call the application's hooks for a lost attempt."""
        ...
