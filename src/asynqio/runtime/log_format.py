"""How log records are written: as text, as JSON, or coloured for a terminal."""

from __future__ import annotations

import datetime
import logging
import os
import sys
from typing import Any, ClassVar, Literal, TextIO, TypeAlias

import msgspec

from asynqio.core.attempts.record import clean
from asynqio.runtime.attempts.log_context import OWN, TaskContextFilter

LogFormat: TypeAlias = Literal["text", "json", "pretty"]
LOG_FORMATS: tuple[LogFormat, ...] = ("text", "json", "pretty")

TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s[%(process)d]: %(message)s"
PRETTY_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
TASK_FIELDS = ("task_id", "task_type", "queue", "attempt")
#: Attributes that the logging module sets itself; everything else came with `extra` or from a filter.
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
#: Keys of a JSON line that `extra` cannot replace: such a field gets a trailing underscore.
JSON_KEYS = ("time", "level", "logger", "message", "exception", "stack")
COLOURS = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
DIM, RESET = "\x1b[2m", "\x1b[0m"


class LogSettings(msgspec.Struct, frozen=True):
    """A logging setup that other processes of the same worker can repeat."""

    format: LogFormat = "text"
    level: int = logging.INFO
    stream: Literal["stdout", "stderr"] = "stderr"


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What came with `extra` or from a filter."""
    return {name: value for name, value in record.__dict__.items() if name not in STANDARD}


class TextFormatter(logging.Formatter):
    """One line of text. Records of user loggers end with the fields of their task; our own name it in the message."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        if not hasattr(record, "task_id") or record.name.partition(".")[0] == OWN:
            return line
        fields = " ".join(f"{name}={getattr(record, name, '')}" for name in TASK_FIELDS)
        return f"{line} [{fields}]"


class PrettyFormatter(logging.Formatter):
    """One line for people: short time, all fields at the end, colours on request."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__(PRETTY_FORMAT, "%H:%M:%S")
        self._colour = colour

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        fields = " ".join(f"{name}={value}" for name, value in extra_fields(record).items())
        if not self._colour:
            return f"{line}  {fields}" if fields else line
        level = f"{record.levelname:<7}"
        colour = COLOURS.get(record.levelno, "")
        line = line.replace(level, f"{colour}{level}{RESET}", 1)
        return f"{line}  {DIM}{fields}{RESET}" if fields else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    _encoder: ClassVar[msgspec.json.Encoder] = msgspec.json.Encoder(enc_hook=lambda value: _text(value))

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in extra_fields(record).items():
            line[f"{name}_" if name in JSON_KEYS else name] = value
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        try:
            return self._encoder.encode(line).decode()
        except (TypeError, ValueError, RecursionError):  # a key that JSON lacks, text that is not Unicode
            return self._encoder.encode({_text(name): _text(value) for name, value in line.items()}).decode()


def _text(value: object) -> str:
    try:
        return clean(str(value))
    except Exception as error:
        return f"({type(value).__name__} without text: {type(error).__name__})"


class _OwnHandler(logging.StreamHandler[TextIO]):
    """The handler that `apply` installs, to be replaced by the next `apply`."""


#: The setup in use; None: the application configured logging itself. Child processes repeat it.
in_use: LogSettings | None = None


def apply(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Write the records of all loggers to `stream`, by default the one that the settings name."""
    global in_use
    stream = stream or (sys.stdout if settings.stream == "stdout" else sys.stderr)
    handler = _OwnHandler(stream)
    handler.setFormatter(_formatter(settings.format, stream))
    handler.addFilter(TaskContextFilter())
    root = logging.getLogger()
    for present in [one for one in root.handlers if isinstance(one, _OwnHandler)]:
        root.removeHandler(present)
    root.addHandler(handler)
    root.setLevel(settings.level)
    in_use = settings


def _formatter(format: LogFormat, stream: TextIO) -> logging.Formatter:
    if format == "json":
        return JsonFormatter()
    if format == "pretty":
        return PrettyFormatter(colour=stream.isatty() and not os.environ.get("NO_COLOR"))
    return TextFormatter()
