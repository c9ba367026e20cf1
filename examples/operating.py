"""Operating: pause a type, move tasks to another queue, see the figures, ask the doctor."""

import asyncio

from asynqio import App, Inspector

app = App("memory://", retention=60)


@app.task("mail")
async def mail(to: str) -> None:
    print("mail to", to)


@app.task("report")
async def report(name: str) -> None:
    print("report", name)


async def main() -> None:
    async with app, Inspector(app.broker) as inspector:
        await inspector.pause_type("default", "mail")  # say, the mail server is down
        letter = await mail.enqueue("ann")
        reports = [await report.enqueue(name) for name in ("may", "june")]
        moved = await inspector.transfer([reports[1]], "slow")
        print("moved:", [answer.name for answer in moved])
        async with app.running():
            await reports[0].result(timeout=5)
        info = await letter.refresh()
        print("mail is in", info.state, "with so many retries counted:", info.retried)
        await inspector.resume_type("default", "mail")
        for queue in await inspector.queues():
            print(queue.queue, "pending:", queue.pending, "retry:", queue.retry)
        for finding in await inspector.doctor():
            print(f"{finding.severity}: {finding.sentence}")


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# moved: ['DONE']
# report may
# mail is in retry with so many retries counted: 0
# default pending: 0 retry: 1
# slow pending: 1 retry: 0
# warning: 1 tasks wait in queue 'default', and no server works on it
# warning: 1 tasks wait in queue 'slow', and no server works on it
