"""What a server tells its lease keeper, the process that asynqio/keeper.py is."""

from __future__ import annotations

import msgspec

from asynqio.runtime.log_format import LogSettings

#: The module to run.
KEEPER = "asynqio.lease_keeper"


class KeeperJob(msgspec.Struct, frozen=True):
    """The first line on the keeper's standard input; every byte after it is a tick."""

    url: str
    owner: str
    #: Seconds a lease lasts.
    lease: float
    #: Seconds without a tick after which the server counts as frozen.
    patience: float
    #: The logging setup of the server; None: the application configured logging itself.
    logging: LogSettings | None = None
