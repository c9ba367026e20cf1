"""What one client may take of the gateway."""

from __future__ import annotations

import msgspec


class RemoteLimits(msgspec.Struct, frozen=True):
    """Limits of a session. Sizes are bytes, times are seconds."""

    #: A frame of a client. The server must not accept larger ones (uvicorn: `ws_max_size`).
    max_frame: int = 16_777_216
    #: The payload of a task.
    max_payload: int = 8_388_608
    #: Calls that run at once; further ones are not read.
    max_calls: int = 256
    #: Answers that wait for a slow reader; while there are more, no calls are read.
    max_unsent: int = 8_388_608
    #: Frames kept until the client acknowledges them. With more, its session does not survive its connection.
    max_kept: int = 33_554_432
    #: Watches.
    max_watches: int = 10_000
    #: How long a session without a connection is kept.
    resume_for: float = 30.0
    #: Sessions without a connection, of all clients.
    max_detached: int = 1_000
