"""Copies what handlers log with the standard library's `logging` into the log of their attempt."""

from __future__ import annotations

import logging

from asynqio.core.attempts.record import LogLine
from asynqio.runtime.attempts import context
from asynqio.runtime.attempts.attempt import Environment, active_attempt
from asynqio.runtime.attempts.log_context import OWN


class Capture(logging.Handler):
    """A handler of the root logger while a server runs. Levels are left to the application.

    The context in which a record is emitted decides, so coroutines, tasks that they start and threads of the thread
    lane are captured. `environment`: the server whose attempts are captured; None in a task process, which runs one
    handler at a time.
    """

    def __init__(self, environment: Environment | None) -> None:
        super().__init__()
        self._environment = environment

    def install(self, level: int | None = None) -> None:
        """Start capturing. A task process passes the level of the server's root logger."""
        root = logging.getLogger()
        if level is not None:
            root.setLevel(level)
        root.addHandler(self)

    def remove(self) -> None:
        """Stop capturing."""
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] == OWN:  # about the attempt, not from its handler
            return
        try:
            self._write(record)
        except (
            Exception
        ):  # like other logging handlers: a record that cannot be formatted must not fail its task
            self.handleError(record)

    def _write(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        if self._environment is None:
            if context.process_context is not None:
                context.process_context.log(f"{record.name}: {self.format(record)}", level)
            return
        attempt = active_attempt.get(None)
        if attempt is not None and attempt.environment is self._environment:
            attempt.attempt_log.write(LogLine(record.created, f"{record.name}: {self.format(record)}", level))
