"""The batcher combines concurrent callers into few calls."""

from __future__ import annotations

import asyncio

from asynqio.runtime.batcher import Batcher


class Calls:
    """A batch function that waits for a signal."""

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


async def test_a_single_caller_is_sent_at_once_and_the_others_share_the_next_call() -> None:
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


async def test_a_cancelled_waiting_caller_withdraws_its_item() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls)
    tasks = await started(3, batcher)
    tasks[1].cancel()
    await asyncio.sleep(0)
    calls.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [answers[0], answers[2]] == [0, 20]
    assert calls.batches == [[0], [2]]


async def test_a_cancelled_first_caller_does_not_delay_the_others() -> None:
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


class Echo:
    """A batch function that answers on request, call by call."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.under_way: list[asyncio.Event] = []
        self.wrong: Exception | None = None

    async def __call__(self, items: list[int]) -> list[int]:
        self.sizes.append(len(items))
        answered = asyncio.Event()
        self.under_way.append(answered)
        await answered.wait()
        if self.wrong is not None:
            raise self.wrong
        return items

    async def answer(self, count: int = 1) -> None:
        """Answer this number of calls, the oldest first, and let all callers continue."""
        for answered in self.under_way[:count]:
            answered.set()
        del self.under_way[:count]
        for _ in range(20):
            await asyncio.sleep(0)


async def test_the_halves_of_many_callers_take_turns() -> None:
    echo = Echo()
    batcher: Batcher[int, int] = Batcher(echo, overlap=lambda: True)

    async def caller(number: int) -> None:
        for _ in range(5):
            assert await batcher.submit(number) == number

    callers = asyncio.gather(*(caller(number) for number in range(16)))
    await asyncio.sleep(0)
    await echo.answer()  # the first of them came alone
    await echo.answer()
    assert echo.sizes == [1, 15, 8, 8]
    assert len(echo.under_way) == 2
    await echo.answer()
    assert len(echo.under_way) == 2
    # Nor do they become one, or ever more of them, when both answers come at the same time.
    await echo.answer(2)
    assert len(echo.under_way) == 2
    assert echo.sizes == [1, 15, 8, 8, 8, 8, 8]
    while not callers.done():
        await echo.answer()
    await callers


async def test_a_half_whose_call_fails_gets_the_error_and_the_other_half_continues() -> None:
    echo = Echo()
    batcher: Batcher[int, int] = Batcher(echo, overlap=lambda: True)

    async def caller(number: int) -> int:
        for _ in range(5):
            await batcher.submit(number)
        return number

    callers = asyncio.gather(*(caller(number) for number in range(16)), return_exceptions=True)
    await asyncio.sleep(0)
    await echo.answer()
    await echo.answer()
    assert echo.sizes == [1, 15, 8, 8]
    echo.wrong = ValueError("no")
    await echo.answer()
    echo.wrong = None
    while not callers.done():
        await echo.answer()
    ended = await callers
    assert sum(isinstance(one, ValueError) for one in ended) == 8
    assert sum(isinstance(one, int) for one in ended) == 8


async def test_answers_that_do_not_match_their_items_block_no_caller() -> None:
    async def broken(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return items[1:]

    batcher: Batcher[int, int] = Batcher(broken)
    for _ in range(2):
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*map(batcher.submit, range(4)), return_exceptions=True)
        assert all(isinstance(answer, ValueError) for answer in answers)
