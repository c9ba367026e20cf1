"""The binding of a task function: it logs which arguments are not checked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from asynqio.core.task.annotations import Unresolved
from asynqio.core.task.payload import Binding

log = logging.getLogger("asynqio.server")


def bind(type: str, function: Callable[..., Any]) -> Binding:
    """The binding of a function to a task type. Raises ConfigError."""
    return Binding(type, function, on_unresolved=_log_unresolved)


def _log_unresolved(type: str, unresolved: Sequence[Unresolved]) -> None:
    log.warning(
        "task %r: these arguments are not checked, since their annotations cannot be resolved: %s; "
        "import the names at run time, not only for type checkers",
        type,
        "; ".join(map(str, unresolved)),
        extra={
            "event": "annotations_unresolved",
            "task_type": type,
            "arguments": [one.parameter for one in unresolved],
        },
    )
