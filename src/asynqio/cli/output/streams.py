"""The standard streams of a command: missing, closed or full ones, and encodings that lack a character."""

from __future__ import annotations

import errno
import io
import os
import sys
from io import TextIOWrapper
from typing import Any, NoReturn

from asynqio.cli.exit_status import FAILED

#: How a missing stream is opened. A read-only standard output refuses each write as the closed one would, and keeps
#: its number from the next file that is opened, such as a database.
_MISSING = {"stdin": os.O_RDONLY, "stdout": os.O_RDONLY, "stderr": os.O_WRONLY}


def prepare_streams() -> None:
    """Open missing streams. From now on, characters that an encoding lacks are printed as escape sequences, and
    errors of standard error are ignored: there is nowhere to report them."""
    for number, (name, flags) in enumerate(_MISSING.items()):
        if getattr(sys, name) is None:
            _open_null(number, flags)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if type(sys.stderr) is TextIOWrapper:
        raw = io.BufferedWriter(_IgnoresErrors(sys.stderr.fileno(), "w", closefd=False))
        sys.stderr = TextIOWrapper(raw, encoding=sys.stderr.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _IgnoresErrors(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def exit_with(status: int | str | None) -> NoReturn:
    """Write what the streams still hold, and exit with `status`: FAILED if standard output cannot be written. A
    string is printed to standard error."""
    try:
        sys.stdout.flush()
    except OSError as problem:
        status = output_failed(problem)
    sys.exit(status)


def output_failed(problem: OSError) -> int:
    """Report that standard output cannot be written; silently if its reader has closed it, as `head` does. What it
    holds is discarded. Returns the exit status."""
    _open_null(sys.stdout.fileno(), os.O_WRONLY)
    if problem.errno != errno.EPIPE:
        print(f"asynqio: standard output: {problem.strerror}", file=sys.stderr)
    return FAILED


def _open_null(number: int, flags: int) -> None:
    """Make the descriptor `number` the null device."""
    opened = os.open(os.devnull, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
