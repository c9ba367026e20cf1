"""Looks up the master that Redis Sentinel names."""

from __future__ import annotations

import msgspec

from asynqio.brokers.redis.connection.connect import connect, disconnect
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.settings import Address, RedisSettings
from asynqio.errors import BrokerError, BrokerUnavailable

#: Flags of a master that a sentinel, or most sentinels, consider down.
_DOWN = {"s_down", "o_down"}


class Sentinels:
    """Asks the sentinels for the master, the one that answered last first."""

    def __init__(self, settings: RedisSettings) -> None:
        self._name = settings.master
        self._settings = msgspec.structs.replace(
            settings,
            username=settings.sentinel_username,
            password=settings.sentinel_password,
            password_file="",
            db=0,
        )
        self._sentinels = [*settings.nodes]

    async def locate(self) -> Address:
        """Query the sentinels one by one. Raises BrokerUnavailable while none knows a master."""
        failure: BrokerError | None = None
        for sentinel in self._sentinels:
            try:
                master = await self._ask(sentinel)
            except RedisError as error:
                raise BrokerUnavailable(f"a sentinel replied: {error.text}") from error
            except BrokerError as error:  # the next sentinel may answer
                failure = error
                continue
            if master is not None:
                self._sentinels = [sentinel, *(other for other in self._sentinels if other != sentinel)]
                return master
        raise BrokerUnavailable(
            f"no sentinel knows a running master {self._name!r}: check the sentinels, the name, and "
            "sentinel_password="
        ) from failure

    async def _ask(self, sentinel: Address) -> Address | None:
        """The master according to one sentinel; None: it knows none that runs. Raises BrokerError."""
        connection = await connect(self._settings, sentinel)
        try:
            reply: list[bytes] = await connection.call("SENTINEL", "MASTER", self._name)
        except RedisError as error:
            if "no such master" in error.text.lower():
                return None
            raise
        finally:
            await disconnect(connection)
        facts = {key.decode(): value.decode() for key, value in zip(reply[::2], reply[1::2], strict=True)}
        if _DOWN & set(facts["flags"].split(",")):
            return None
        return facts["ip"], int(facts["port"])
