"""Looks up the master that Redis Sentinel names."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from asynqio.brokers.redis.settings import Address, RedisSettings
from asynqio.errors import BrokerUnavailable


class Sentinels:
    """Asks the sentinels for the master, the one that answered last first."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._sentinels = [*settings.nodes]

    async def locate(self) -> Address:
        """Query the sentinels one by one. Raises BrokerUnavailable while none knows a master."""
        # Imported here because only Sentinel needs it, and in a thread because it reads many files.
        await asyncio.to_thread(importlib.import_module, "redis.asyncio.sentinel")
        from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError as DriverError
        from redis.retry import Retry

        given = self._settings
        options: dict[str, Any] = {
            "socket_timeout": given.timeout,
            "socket_connect_timeout": given.connect_timeout,
            "username": given.sentinel_username or None,
            "password": given.sentinel_password or None,
            # No retry here: the next sentinel is more likely to answer.
            "retry": Retry(NoBackoff(), 0),
        }
        if given.tls:
            options |= {
                "ssl": True,
                "ssl_ca_certs": given.ca or None,
                "ssl_certfile": given.cert or None,
                "ssl_keyfile": given.key or None,
                "ssl_cert_reqs": "none" if given.verify == "none" else "required",
                "ssl_check_hostname": given.verify == "full",
            }
        # Made in a thread too: it looks up its own version among the installed packages.
        async with await asyncio.to_thread(Sentinel, self._sentinels, sentinel_kwargs=options) as sentinel:
            try:
                host, port = await sentinel.discover_master(given.master)
            except MasterNotFoundError as error:
                raise BrokerUnavailable(
                    f"no sentinel knows a running master {given.master!r}: check the sentinels, the name, and "
                    "sentinel_password="
                ) from error
            except DriverError as error:
                raise BrokerUnavailable(f"a sentinel replied: {error}") from error
            # The driver moves the sentinel that answered to the front: start there next time.
            first = sentinel.sentinels[0].connection_pool.connection_kwargs
        known = (first["host"], first["port"])
        self._sentinels = [known, *(node for node in self._sentinels if node != known)]
        return str(host), int(port)
