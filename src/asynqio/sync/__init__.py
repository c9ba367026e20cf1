"""Client and Inspector for code without an event loop."""

from asynqio.sync.client import Client
from asynqio.sync.inspector import Inspector

__all__ = ["Client", "Inspector"]
