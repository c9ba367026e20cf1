"""Errors and tracebacks as they are stored: compressed with a dictionary of what tracebacks have in common.

Measured on tracebacks of 2 to 17 frames: a fifth of their size. The frames of a place are compressed once.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

#: Longest text, in characters, that is not compressed.
PLAIN = 60
#: Stands for the error in what follows the frames of its traceback.
MARK = "\0"
#: The first byte of a stored text: plain UTF-8, or compressed with the dictionary.
AS_IS, COMPRESSED = b"\x00", b"\x01"
#: Stored texts refer to it, so it never changes: another dictionary gets another first byte. Frequent texts are last.
_COMMON = b"""\
During handling of the above exception, another exception occurred:

The above exception was the direct cause of the following exception:

    raise     with self.    yield     return func(*args, **kwargs)
    return await     await asyncio.    await self.
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
AttributeError: RuntimeError: TypeError: KeyError: ValueError: OSError: TimeoutError: ConnectionRefusedError: \
[Errno 111] Connection refused
  [Previous line repeated   File "/usr/lib/python3/dist-packages/  File "/usr/local/lib/python3.11/asyncio/
  File "/usr/local/lib/python3.12/site-packages/asynqio/app/task_function.py", line 101, in perform
    return await function(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
Traceback (most recent call last):
  File "/app/.venv/lib/python3.12/site-packages/asynqio/runtime/attempts/runner.py", line 239, in _run
    value = await route.perform(Task.received(message))
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"""


@lru_cache(maxsize=64)
def pack_text(text: str) -> bytes:
    """Compress a text if that makes it shorter."""
    data = text.encode()
    if len(text) > PLAIN:
        # A small window and little memory: set up in microseconds, and no text is longer.
        compressor = zlib.compressobj(6, zlib.DEFLATED, -13, 5, zlib.Z_DEFAULT_STRATEGY, _COMMON)
        packed = compressor.compress(data) + compressor.flush()
        if len(packed) < len(data):
            return COMPRESSED + packed
    return AS_IS + data


def unpack_text(stored: bytes) -> str:
    """Decode `pack_text`. Raises ValueError if the bytes are damaged or have another format."""
    if stored[:1] == AS_IS:
        return stored[1:].decode()
    if stored[:1] != COMPRESSED:
        raise ValueError("the text is stored in an unknown format")
    try:
        return zlib.decompressobj(-15, _COMMON).decompress(stored[1:]).decode()
    except zlib.error as error:
        raise ValueError(f"the stored text is damaged: {error}") from None


def split(traceback: str) -> tuple[str, str]:
    """The frames, which are the same for each error of this place, and what follows the last one."""
    at = traceback.rfind("\n  File ")
    if at < 0:
        return "", traceback
    at = traceback.find("\n", at + 1) + 1
    while traceback.startswith(("    ", "  [Previous line"), at):
        end = traceback.find("\n", at)
        if end < 0:
            return traceback, ""
        at = end + 1
    return traceback[:at], traceback[at:]


@lru_cache(maxsize=256)  # a record is packed to see whether it fits, and soon after to be stored
def pack(error: str, traceback: str) -> tuple[bytes, ...]:
    """Compress an error and its traceback: the error, the frames, and what follows them with a MARK for the error."""
    if MARK in traceback:
        return pack_text(error), pack_text(traceback)
    frames, rest = split(traceback)
    return pack_text(error), pack_text(frames), pack_text(rest.replace(error, MARK, 1) if error else rest)


def unpack(packed: Sequence[bytes]) -> tuple[str, str]:
    """Decode `pack`. Raises ValueError as `unpack_text`."""
    error, *trace = map(unpack_text, packed)
    if len(trace) == 1:
        return error, trace[0]
    frames, rest = trace
    return error, frames + rest.replace(MARK, error, 1)
