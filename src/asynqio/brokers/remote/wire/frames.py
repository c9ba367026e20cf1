"""Frames: the messages that one side sends at a time, as one msgpack array."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

#: Size in bytes from which on a frame takes no further message.
FRAME_BYTES = 262_144
#: Most messages in a frame.
FRAME_MESSAGES = 1_000

_decode = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def pack_frame(messages: list[bytes]) -> bytes:
    """The frame of encoded messages, at most 65,535."""
    count = len(messages)
    if count == 1:
        return b"\x91" + messages[0]
    head = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return head + b"".join(messages)


def pack_frames(messages: list[bytes]) -> Iterator[bytes]:
    """Frames of about FRAME_BYTES and at most FRAME_MESSAGES. A message is never divided."""
    start = size = 0
    for at, message in enumerate(messages):
        if at > start and (size + len(message) > FRAME_BYTES or at - start == FRAME_MESSAGES):
            yield pack_frame(messages[start:at])
            start, size = at, 0
        size += len(message)
    if messages:
        yield pack_frame(messages[start:])


def unpack_frame(frame: bytes) -> list[msgspec.Raw]:
    """The encoded messages in a frame. Raises MsgspecError."""
    try:
        return _decode(frame)
    except RecursionError:
        raise msgspec.DecodeError("the values are nested too deeply") from None
