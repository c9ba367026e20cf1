"""Reads payloads and files named on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from asynqio.cli.output.terminal import Refused


def read_payload(text: str | None, file: Path | None) -> bytes | None:
    """The payload of `--payload` or `--payload-file`; None without either. Raises Refused."""
    if text is not None and file is not None:
        raise Refused("use either --payload or --payload-file, not both")
    if file is not None:
        with open_file(file) as stream:
            return stream.read()
    return None if text is None else text.encode("utf-8", "surrogateescape")


def open_file(file: Path) -> BinaryIO:
    """Open a file for reading; `-` is standard input. Raises Refused."""
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as problem:
        raise Refused(f"{str(file)!r} cannot be read: {problem.strerror}") from None
