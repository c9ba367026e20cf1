"""The batcher of threads: one of them makes the call for all that wait, and an interrupted thread stops no other."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from asynqio.brokers.redis.thread_batcher import ThreadBatcher
from tests.until import until

#: Seconds after which a test that hangs fails.
SOON = 20.0


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, although pytest may run in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupted(BaseException):
    """Raised inside a call, as KeyboardInterrupt is."""


class Calls:
    """Makes calls that wait for a signal, and answer each number with ten times it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[int] = []
        self.runs = 0
        self.gate = threading.Event()
        #: Opens the calls after the first one; open from the start.
        self.later = threading.Event()
        self.later.set()
        #: Raised by the next runs.
        self.failures: list[BaseException] = []

    def __call__(self, items: list[int]) -> Call:
        self.batches.append(items)
        return Call(self, items)


class Call:
    def __init__(self, calls: Calls, items: list[int]) -> None:
        self._calls, self._items = calls, items

    def run(self) -> Sequence[int | Exception]:
        calls = self._calls
        calls.runs += 1
        calls.threads.append(threading.get_ident())
        assert (calls.gate if calls.runs == 1 else calls.later).wait(SOON)
        if calls.failures:
            raise calls.failures.pop(0)
        return [ValueError(item) if item < 0 else 10 * item for item in self._items]


def batcher_of(calls: Calls, limit: int = 100) -> ThreadBatcher[int, int]:
    return ThreadBatcher(calls, lambda items: min(limit, len(items)))


def start(
    pool: ThreadPoolExecutor, batcher: ThreadBatcher[int, int], items: Sequence[int]
) -> list[Future[int]]:
    """Submit the items one after the other, each from a thread of its own, and wait until all of them wait."""
    futures = []
    for count, item in enumerate(items):
        futures.append(pool.submit(batcher.submit, item))
        until("it waits", partial(_waiting, batcher, count))
    return futures


def _waiting(batcher: ThreadBatcher[int, int], count: int) -> bool:
    return batcher._turn is not None and len(batcher._waiting) == count


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def test_a_thread_that_is_alone_makes_its_call_itself() -> None:
    calls = Calls()
    calls.gate.set()
    batcher = batcher_of(calls)
    assert [batcher.submit(number) for number in range(3)] == [0, 10, 20]
    assert calls.batches == [[0], [1], [2]]
    assert set(calls.threads) == {threading.get_ident()}


def test_items_that_arrive_during_a_call_share_the_next_one(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    futures = start(pool, batcher_of(calls), range(5))
    calls.gate.set()
    assert [future.result(SOON) for future in futures] == [0, 10, 20, 30, 40]
    assert calls.batches == [[0], [1, 2, 3, 4]]


def test_a_call_takes_as_many_items_as_it_may(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    futures = start(pool, batcher_of(calls, 2), range(6))
    calls.gate.set()
    assert [future.result(SOON) for future in futures] == [0, 10, 20, 30, 40, 50]
    assert calls.batches == [[0], [1, 2], [3, 4], [5]]


def test_an_error_of_one_item_reaches_its_thread_only(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    futures = start(pool, batcher_of(calls), [0, 1, -1, 2])
    calls.gate.set()
    assert isinstance(futures[2].exception(SOON), ValueError)
    assert [future.result(SOON) for at, future in enumerate(futures) if at != 2] == [0, 10, 20]


def test_an_error_of_a_call_reaches_its_threads_and_no_other(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    batcher = batcher_of(calls, 2)
    calls.failures = [ValueError("no")]
    futures = start(pool, batcher, range(4))
    calls.gate.set()
    assert isinstance(futures[0].exception(SOON), ValueError)
    assert [future.result(SOON) for future in futures[1:]] == [10, 20, 30]


def test_another_thread_completes_the_call_of_an_interrupted_one(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    batcher = batcher_of(calls)
    futures = start(pool, batcher, range(4))
    # The second call is interrupted twice: each time another of its threads runs it again.
    calls.failures = [ValueError("the first call"), Interrupted(), Interrupted()]
    calls.gate.set()
    ended = [future.exception(SOON) for future in futures[1:]]
    assert sum(isinstance(error, Interrupted) for error in ended) == 2
    assert [future.result() for future in futures[1:] if future.exception() is None] == [30]
    assert (calls.batches, calls.runs) == ([[0], [1, 2, 3]], 4)
    assert batcher.submit(7) == 70


def test_a_call_whose_threads_are_all_interrupted_stops_no_other(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    calls.failures = [Interrupted()]
    futures = start(pool, batcher_of(calls), range(3))
    calls.gate.set()
    assert isinstance(futures[0].exception(SOON), Interrupted)
    assert [future.result(SOON) for future in futures[1:]] == [10, 20]


def interrupted(act: Callable[[], object], when: Callable[[], bool]) -> None:
    """Run `act` in this thread, and interrupt it as Ctrl-C does."""

    def interrupt() -> None:
        until("it is under way", when)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            act()
    finally:
        helper.join()


def test_an_interrupted_thread_withdraws_an_item_that_waits(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    batcher = batcher_of(calls)
    [first] = start(pool, batcher, [0])
    interrupted(lambda: batcher.submit(1), lambda: len(batcher._waiting) == 1)
    second = pool.submit(batcher.submit, 2)
    until("it waits", lambda: len(batcher._waiting) == 1)
    calls.gate.set()
    assert (first.result(SOON), second.result(SOON)) == (0, 20)
    assert calls.batches == [[0], [2]]


def test_an_interrupted_thread_does_not_stop_the_call_that_has_its_item(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    calls.later.clear()
    batcher = batcher_of(calls)
    others = start(pool, batcher, [0, 1])

    def on_its_way() -> bool:
        if len(batcher._waiting) == 2 and len(others) == 2:
            others.append(pool.submit(batcher.submit, 3))
        if len(batcher._waiting) == 3:
            calls.gate.set()
        return calls.runs == 2

    interrupted(lambda: batcher.submit(2), on_its_way)
    calls.later.set()
    # Nor does it keep those from waking that come after it.
    assert [future.result(SOON) for future in others] == [0, 10, 30]
    assert calls.batches == [[0], [1, 2, 3]]
    assert batcher.submit(4) == 40


def test_many_threads_get_their_own_answers(pool: ThreadPoolExecutor) -> None:
    calls = Calls()
    calls.gate.set()
    batcher = batcher_of(calls, 7)

    def caller(start: int) -> bool:
        return all(batcher.submit(number) == 10 * number for number in range(start, start + 500))

    assert all(pool.map(caller, range(0, 10_000, 500)))
    assert sorted(item for batch in calls.batches for item in batch) == list(range(10_000))


def test_a_storm_of_interruptions_stops_no_thread(pool: ThreadPoolExecutor) -> None:
    """This thread is interrupted at any point; the others get all their answers."""
    count = int(os.environ.get("ASYNQIO_TEST_INTERRUPTIONS", "200"))
    calls = Calls()
    calls.gate.set()
    batcher = batcher_of(calls, 7)
    done = threading.Event()
    main = threading.main_thread().ident or 0
    hits = 0
    interruptible = True

    def caller(start: int) -> bool:
        number, right = start, True
        while not done.is_set():
            right = right and batcher.submit(number) == 10 * number
            number += 1
        return right

    def interrupt() -> None:
        while not done.wait(random.random() / 500):
            signal.pthread_kill(main, signal.SIGUSR1)

    def handler(*_: object) -> None:
        if interruptible:
            raise Interrupted

    previous = signal.signal(signal.SIGUSR1, handler)
    others = [pool.submit(caller, start) for start in range(0, 10**9, 10**8)]
    storm = threading.Thread(target=interrupt)
    storm.start()
    try:
        while hits < count:
            try:
                while True:
                    assert batcher.submit(7) == 70
            except Interrupted:
                hits += 1
    except Interrupted:  # between two statements of the loop
        pass
    finally:
        interruptible = False  # before any call: handlers of signals run at calls
        done.set()
    storm.join()
    signal.signal(signal.SIGUSR1, previous)
    assert all(other.result(SOON) for other in others)
