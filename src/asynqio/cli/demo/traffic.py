"""The traffic: enqueues tasks at random times."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, ParamSpec, TypeVar

from asynqio import (
    AsynqioError,
    DuplicateTask,
    EnqueueError,
    ResultTimeout,
    Task,
    TaskFunction,
    TaskHandle,
    TaskOptions,
)
from asynqio.cli.demo import tasks
from asynqio.cli.demo.ledger import ID_HEADER, Ledger

P = ParamSpec("P")
R = TypeVar("R")

PEOPLE = ("ann", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
PARTNERS = ("shop.example.com", "pay.example.org", "crm.example.net", "erp.example.com")
HEADLINES = ("prices fall", "new branch opens", "summer sale", "record orders", "a word from our founder")


class Traffic:
    """Enqueues tasks until it is cancelled."""

    def __init__(self, ledger: Ledger, random: Random) -> None:
        self._ledger = ledger
        self._random = random

    async def run(self) -> None:
        """Raises the first unexpected error."""
        async with asyncio.TaskGroup() as streams:
            for rate, enqueue in (
                (20.0, self._email),
                (0.25, self._campaign),
                (5.0, self._image),
                (8.0, self._webhook),
                (1.5, self._reminder),
                (3.0, self._contact),
                (4.0, self._news),
            ):
                streams.create_task(self._stream(rate, enqueue))
            streams.create_task(self._stream(2.0, self._report_stream(streams)))

    async def _stream(self, rate: float, enqueue: Callable[[], Awaitable[None]]) -> None:
        """Call `enqueue` `rate` times per second on average, as a Poisson process."""
        while True:
            await asyncio.sleep(self._random.expovariate(rate))
            await enqueue()

    async def _enqueue(
        self,
        function: TaskFunction[P, Any, R],
        options: TaskOptions,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> TaskHandle[R] | None:
        """Enqueue a task and record it. Returns None if it was refused as a duplicate."""
        queue = str(function.options.get("queue"))
        id = self._ledger.expect(function.type, queue, prompt="process_in" not in options)
        full: TaskOptions = {**options, "task_id": id, "headers": {ID_HEADER: id}}
        try:
            with self._ledger.enqueueing(id):
                return await function.with_options(**full).enqueue(*args, **kwargs)
        except DuplicateTask:
            self._ledger.refuse(id)
            return None

    # --- task types -------------------------------------------------------------------------------

    def _recipient(self) -> str:
        return f"{self._random.choice(PEOPLE)}@example.org"

    async def _email(self) -> None:
        await self._enqueue(tasks.send_email, {}, self._recipient(), "Your order is on its way")

    async def _campaign(self) -> None:
        """Many tasks in one call."""
        batch: dict[str, Task] = {}
        for _ in range(self._random.randint(20, 60)):
            id = self._ledger.expect(tasks.send_email.type, tasks.CRITICAL)
            function = tasks.send_email.with_options(task_id=id, headers={ID_HEADER: id})
            batch[id] = function.task(self._recipient(), "Summer sale")
        with self._ledger.enqueueing(*batch):
            answers = await tasks.app.enqueue_many(batch.values())
        for answer in answers:
            if isinstance(answer, EnqueueError):
                raise answer
        self._ledger.add_event("burst", f"{len(batch)} campaign e-mails enqueued in one call")

    async def _image(self) -> None:
        name = "broken.png" if self._random.random() < 0.03 else f"photo-{self._random.randint(1, 999)}.png"
        await self._enqueue(tasks.resize_image, {}, name, self._random.choice((128, 192, 256)), 32)

    async def _webhook(self) -> None:
        partner = "legacy.example.com" if self._random.random() < 0.02 else self._random.choice(PARTNERS)
        await self._enqueue(tasks.call_webhook, {}, partner, "order.paid")

    async def _reminder(self) -> None:
        await self._enqueue(
            tasks.send_reminder, {"process_in": self._random.uniform(2, 6)}, self._recipient()
        )

    async def _contact(self) -> None:
        customer = self._random.choice(PEOPLE[:4])
        if await self._enqueue(tasks.sync_contact, {}, customer) is None:
            self._ledger.add_event("refused", f"contact:sync of {customer}: duplicate")

    async def _news(self) -> None:
        await self._enqueue(tasks.add_news, {"group": "nightly"}, self._random.choice(HEADLINES))

    def _report_stream(self, streams: asyncio.TaskGroup) -> Callable[[], Awaitable[None]]:
        async def enqueue_report() -> None:
            month = f"2025-{self._random.randint(1, 12):02}"
            handle = await self._enqueue(tasks.build_report, {}, month)
            if handle is not None:
                streams.create_task(self._await_report(month, handle))

        return enqueue_report

    async def _await_report(self, month: str, handle: TaskHandle[dict[str, float]]) -> None:
        try:
            report = await handle.result(timeout=20)
        except ResultTimeout as late:
            self._ledger.add_event("late", str(late))
        except AsynqioError as error:
            self._ledger.unexpected.append(f"no report for {month}: {error}")
        else:
            self._ledger.add_event(
                "result", f"report {month}: {report['orders']:,.0f} orders, {report['revenue']:,.2f} €"
            )
