"""What a lease keeper (asynqio/lease_keeper) does for its server."""

from __future__ import annotations

import msgspec

from asynqio.runtime.log_format import LogSettings


class KeeperJob(msgspec.Struct, frozen=True):
    """The first line on the keeper's standard input, as JSON. Every byte after it is TICK or QUIT."""

    url: str
    owner: str
    #: Seconds for which a lease is renewed.
    lease: float
    #: Seconds between two renewals.
    interval: float
    #: The logging setup of the server; None: the application configured logging itself.
    logging: LogSettings | None = None
