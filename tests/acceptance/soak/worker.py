"""A worker of the soak test: `python -m tests.acceptance.soak.worker '{"concurrency": 20}'`."""

from __future__ import annotations

import asyncio
import logging
import sys

import msgspec

from asynqio import ServerConfig
from tests.acceptance.soak.tasks import QUEUES, app


async def main(config: ServerConfig) -> None:
    async with app:
        await app.server(config=config).run(app.mux)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = {"queues": dict.fromkeys(QUEUES, 1), **msgspec.json.decode(sys.argv[1])}
    asyncio.run(main(ServerConfig(**options)))
