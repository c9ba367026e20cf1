"""Progress: a handler reports progress, and any client can read it."""

import asyncio
import json

from asynqio import App, current

app = App("memory://", retention=60)
halfway = asyncio.Event()
seen = asyncio.Event()


@app.task("import")
async def import_rows(rows: int) -> int:
    for row in range(rows):
        if row == rows // 2:
            # Awaiting is optional: it ensures that the report is stored.
            await current().report_progress({"rows": row, "of": rows})
            halfway.set()
            await seen.wait()
    await current().report_progress(100)
    return rows


async def main() -> None:
    async with app, app.running():
        handle = await import_rows.enqueue(1000)
        await halfway.wait()
        info = await handle.refresh()
        print(info.state, json.loads(info.progress or b"null"))
        seen.set()
        print("imported:", await handle.result(timeout=5))
        info = await handle.refresh()
        print(info.state, json.loads(info.progress or b"null"))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# active {'of': 1000, 'rows': 500}
# imported: 1000
# completed 100
