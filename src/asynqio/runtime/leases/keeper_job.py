"""The first message of a server to its lease keeper (asynqio/lease_keeper.py)."""

from __future__ import annotations

import msgspec

from asynqio.runtime.log_format import LogSettings

#: The module to run.
KEEPER = "asynqio.lease_keeper"


class KeeperJob(msgspec.Struct, frozen=True):
    """The first line on the keeper's standard input, as JSON. Every byte after it is a tick."""

    url: str
    owner: str
    #: Seconds for which a lease is renewed.
    lease: float
    #: Seconds without a tick after which the server counts as frozen.
    timeout: float
    #: The logging setup of the server; None: the application configured logging itself.
    logging: LogSettings | None = None
