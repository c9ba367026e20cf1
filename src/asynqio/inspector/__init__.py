"""Inspector: inspects queues, tasks and servers, and acts on them."""

from asynqio.inspector.inspector import Inspector

__all__ = ["Inspector"]
