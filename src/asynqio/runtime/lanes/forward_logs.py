"""Log records of a task process travel to the server and are handled by its loggers."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from asynqio.brokers.contract.processes import is_forked
from asynqio.runtime.attempts.log_capture import Capture
from asynqio.runtime.attempts.log_context import TaskContextFilter

_FORMATTER = logging.Formatter()
_SIMPLE = (str, int, float, bool, type(None))


def log_levels() -> dict[str, int]:
    """The levels that are set in this process, by logger; "" is the root logger."""
    loggers = logging.getLogger().manager.loggerDict.items()
    levels = {name: logger.level for name, logger in loggers if isinstance(logger, logging.Logger)}
    return {"": logging.getLogger().level, **{name: level for name, level in levels.items() if level}}


def handle(fields: Mapping[str, Any]) -> None:
    """Let the loggers of this process handle a record of a task process."""
    record = logging.makeLogRecord(dict(fields))
    try:
        logging.getLogger(record.name).handle(record)
    except Exception:  # a filter or handler of the application; the task continues
        logging.Handler().handleError(record)


class ForwardLogs(logging.Handler):
    """A handler of the root logger of a task process. It forwards nothing if the application configures logging in
    this process itself, so that no record appears twice."""

    def __init__(self, send: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__()
        self._send = send
        self.addFilter(TaskContextFilter())

    def install(self, levels: Mapping[str, int]) -> None:
        """Start forwarding, with the levels of the server."""
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a record. A process that a handler forked has no connection to the server."""
        others = [one for one in logging.getLogger().handlers if not isinstance(one, ForwardLogs | Capture)]
        if others:
            return
        if is_forked():
            if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
            return
        try:
            self._send(_fields(record))
        except Exception:  # as in every logging handler: a record must not fail its task
            self.handleError(record)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a record, all of which can be sent."""
    fields = {**record.__dict__, "msg": record.getMessage(), "args": None, "exc_info": None}
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = _FORMATTER.formatException(record.exc_info)
    fields.pop("message", None)
    return {name: value if _can_travel(value) else repr(value) for name, value in fields.items()}


def _can_travel(value: object) -> bool:
    if type(value) in _SIMPLE:
        return True
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True
