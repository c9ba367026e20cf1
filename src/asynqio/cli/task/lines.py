"""Reads the lines of files and of standard input: ids, and tasks as NDJSON."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from asynqio.cli.output.terminal import Refused


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, without their ends, with their 1-based numbers. Ignores a byte order mark."""
    for number, line in enumerate(stream, start=1):
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)
        if text.strip():
            yield number, text


def read_ids(stream: BinaryIO) -> list[str]:
    """One id per line, with the spaces in it. Raises Refused."""
    ids = []
    for number, line in numbered_lines(stream):
        try:
            ids.append(line.decode())
        except UnicodeDecodeError:
            raise Refused(f"line {number} of standard input is not UTF-8") from None
    return ids
