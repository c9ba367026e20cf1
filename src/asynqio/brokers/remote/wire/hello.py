"""The first message of a gateway, and the heads of the others."""

from __future__ import annotations

from typing import Any

import msgspec

#: Request header of a client that resumes or begins a session: its id, and the number of frames that it has received.
SESSION_HEADER = "asynqio-session"


class Hello(msgspec.Struct, frozen=True):
    """What a gateway says first."""

    #: Whether the session of the header goes on: answers that were lost with the last connection follow.
    resumed: bool
    #: The highest id of the requests that the gateway has received in this session.
    received: int
    #: The time of the store.
    now: float
    #: The kind of the store: the scheme of its URL.
    store: str
    #: Archived tasks kept per queue.
    archive_limit: int
    #: Bytes of a frame, and of the payload of a task.
    max_frame: int
    max_payload: int


class Head(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The beginning of every message: the id of a call; 0 for notices."""

    id: int


class RequestHead(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The beginning of a request."""

    id: int
    operation: str


decode_head = msgspec.msgpack.Decoder(Head).decode
decode_request_head = msgspec.msgpack.Decoder(RequestHead).decode
decode_any = msgspec.msgpack.Decoder(list[Any]).decode


def session_header(session: str, received: int) -> str:
    """The value of SESSION_HEADER."""
    return f"{session} {received}"


def parse_session_header(value: str) -> tuple[str, int]:
    """The session and the number of received frames. Raises ValueError."""
    session, _, received = value.partition(" ")
    if not 16 <= len(session) <= 64 or not session.isascii() or not received.isdecimal():
        raise ValueError(f"{SESSION_HEADER}: give an id of 16 to 64 characters, and a number of frames")
    return session, int(received)
