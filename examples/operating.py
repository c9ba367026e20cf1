"""Operating: pause a type, transfer tasks to another queue, read stats, run the doctor."""

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
        await inspector.pause_type("default", "mail")  # for example, while the mail server is down
        letter = await mail.enqueue("ann")
        reports = [await report.enqueue(name) for name in ("may", "june")]
        transferred = await inspector.transfer([reports[1]], "slow")
        print("transferred:", [answer.name for answer in transferred])
        async with app.running():
            await reports[0].result(timeout=5)
        info = await letter.refresh()
        print("mail is in", info.state, "- counted retries:", info.retried)
        await inspector.resume_type("default", "mail")
        for queue in await inspector.queues():
            print(queue.queue, "pending:", queue.pending, "retry:", queue.retry)
        for finding in await inspector.doctor():
            print(f"{finding.severity}: {finding.sentence}")


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# transferred: ['DONE']
# report may
# mail is in retry - counted retries: 0
# default pending: 0 retry: 1
# slow pending: 1 retry: 0
# warning: 1 tasks wait in queue 'default', but no server serves it
# warning: 1 tasks wait in queue 'slow', but no server serves it
