"""A worker process: `python -m tests.acceptance.worker '{"concurrency": 20}'`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import msgspec

from asynqio import ServerConfig
from tests.acceptance import execution_log
from tests.acceptance.tasks import app


async def main(config: ServerConfig) -> None:
    async with app:
        server = app.server(config=config)
        await server.run(app.mux)
        last = msgspec.json.encode(server.info())
    Path(os.environ[execution_log.DIRECTORY], f"{os.getpid()}.info").write_bytes(last)  # noqa: ASYNC240


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(main(ServerConfig(**msgspec.json.decode(sys.argv[1]))))
