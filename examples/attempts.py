"""What happened to a task: its attempts with what their handler wrote, the task as it goes, and why it is there."""

import asyncio
import logging

from asynqio import App, FixedRetry, LogLine, StateChange, TaskState, current

app = App("memory://", retention=60, retry=FixedRetry(0.05))
log = logging.getLogger("shop")


@app.task("import")
async def import_rows(rows: int) -> int:
    current().log(f"attempt {current().retried + 1} begins")
    await current().report_progress(50)
    if current().retried == 0:
        log.warning("row 500 is no row")  # kept too, for the server is told to with capture_logs
        raise ValueError("no row")
    return rows


async def main() -> None:
    async with app:
        handle = await import_rows.enqueue(1000)
        why = await app.inspector.explain(handle)
        print("why:", why.situation, "|", why.why[-1])
        async with app.running(capture_logs=True):
            async for event in handle.follow():
                match event:
                    case StateChange(TaskState.COMPLETED):
                        print("  it is done")
                    case LogLine(text=text):
                        print("  it says:", text)
        for attempt in await app.inspector.attempts(handle):
            print(attempt.number, attempt.outcome, attempt.error or "-", [line.text for line in attempt.log])


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# why: no-server | No server serves queue 'default': no server is running.
#   it says: attempt 1 begins
#   it says: shop: row 500 is no row
#   it says: attempt 2 begins
#   it is done
# 1 failed ValueError: no row ['attempt 1 begins', 'shop: row 500 is no row']
# 2 succeeded - ['attempt 2 begins']
