"""The messages between a server and its lease keeper (asynqio/lease_keeper.py)."""

from __future__ import annotations

import msgspec

from asynqio.runtime.log_format import LogSettings

#: The module to run. Its argument is the process id of the server.
KEEPER = "asynqio.lease_keeper"
#: The server runs Python.
TICK = b"."
#: The server has ended: exit.
QUIT = b"q"
#: From the keeper on its standard output: it can renew leases.
READY = b"."


class KeeperJob(msgspec.Struct, frozen=True):
    """The first line on the keeper's standard input, as JSON. Every byte after it is TICK or QUIT."""

    url: str
    owner: str
    #: Seconds for which a lease is renewed.
    lease: float
    #: Seconds without a tick after which the server counts as frozen.
    timeout: float
    #: The logging setup of the server; None: the application configured logging itself.
    logging: LogSettings | None = None
