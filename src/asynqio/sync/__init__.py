"""Client and Inspector for code without an event loop."""

from asynqio.sync.facade import Client, Inspector

__all__ = ["Client", "Inspector"]
