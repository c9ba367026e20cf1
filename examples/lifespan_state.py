"""Lifespan: shared resources are opened once per worker server and closed after the last handler."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asynqio import App, current

app = App("memory://", retention=60)


class Database:
    """A stand-in for a connection pool."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        print("database opened")

    async def insert(self, row: str) -> int:
        self.rows.append(row)
        return len(self.rows)

    async def close(self) -> None:
        print("database closed with", len(self.rows), "rows")


@app.lifespan
@asynccontextmanager
async def resources() -> AsyncIterator[dict[str, Any]]:
    database = Database()
    yield {"database": database}
    await database.close()


@app.task("save")
async def save(row: str) -> int:
    database: Database = current().state["database"]
    return await database.insert(row)


async def main() -> None:
    async with app, app.running(concurrency=1):
        for row in ("first", "second"):
            print("row", await (await save.enqueue(row)).result(timeout=5))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# database opened
# row 1
# row 2
# database closed with 2 rows
