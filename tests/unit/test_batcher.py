"""Many callers, few calls."""

from __future__ import annotations

import asyncio

from asynqio.runtime.batcher import Batcher


class Calls:
    """A batch function that waits to be let go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [10 * item for item in items]


async def started(count: int, batcher: Batcher[int, int]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(batcher.submit(number)) for number in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_caller_goes_out_at_once_and_the_others_share_the_next_call() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls)
    tasks = await started(5, batcher)
    assert calls.batches == [[0]]
    calls.gate.set()
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40]
    assert calls.batches == [[0], [1, 2, 3, 4]]


async def test_batches_have_a_limit() -> None:
    calls = Calls()
    calls.gate.set()
    batcher: Batcher[int, int] = Batcher(calls, limit=2)
    tasks = [asyncio.create_task(batcher.submit(number)) for number in range(6)]
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40, 50]
    assert max(len(batch) for batch in calls.batches) <= 2


async def test_a_caller_that_gives_up_while_waiting_takes_its_item_back() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls)
    tasks = await started(3, batcher)
    tasks[1].cancel()
    await asyncio.sleep(0)
    calls.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answers[0], answers[2]] == [0, 20]
    assert calls.batches == [[0], [2]]


async def test_a_first_caller_that_gives_up_does_not_hold_up_the_others() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls)
    tasks = await started(3, batcher)
    tasks[0].cancel()
    await asyncio.sleep(0)
    calls.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[1:] == [10, 20]
    assert await batcher.submit(7) == 70


async def test_an_error_reaches_all_callers_of_its_call_and_no_other() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls)
    tasks = await started(3, batcher)
    calls.error = ValueError("no")
    calls.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, ValueError) for answer in answers)
    calls.error = None
    assert await batcher.submit(1) == 10
