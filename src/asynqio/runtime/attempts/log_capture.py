"""What handlers write with the `logging` of the standard library becomes lines of their attempt's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from asynqio.core.attempts.record import LogLine
from asynqio.runtime.attempts import context
from asynqio.runtime.attempts.attempt import active_attempt

if TYPE_CHECKING:
    from asynqio.runtime.runner import Runner

#: What we say ourselves of an attempt is not what its handler said.
OWN = "asynqio"


class Capture(logging.Handler):
    """On the root logger while a server runs: its level, and those of all loggers, are left to the application.

    It goes by the context that a record is emitted in, so it works in coroutines, in what they start, and in threads
    of the thread lane; `runner=None`: in a task process, which runs one handler at a time.
    """

    def __init__(self, runner: Runner | None) -> None:
        super().__init__()
        self._runner = runner

    def install(self, level: int | None = None) -> None:
        """From now on; a task process takes over the level of the server's root logger."""
        root = logging.getLogger()
        if level is not None:
            root.setLevel(level)
        root.addHandler(self)

    def remove(self) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] == OWN:
            return
        try:
            self._write(record)
        except Exception:  # as logging does it: a line that cannot be formatted must not fail its task
            self.handleError(record)

    def _write(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        if self._runner is None:
            if context.process_context is not None:
                context.process_context.log(f"{record.name}: {self.format(record)}", level)
            return
        attempt = active_attempt.get(None)
        if attempt is not None and attempt.runner is self._runner:
            attempt.attempt_log.write(LogLine(record.created, f"{record.name}: {self.format(record)}", level))
