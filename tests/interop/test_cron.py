"""Compares schedules with Go directly, and checks that the tables of the unit tests are current."""

from __future__ import annotations

import asyncio
import random

from tests.interop.support.build import Programs
from tests.interop.support.crontab import DURATIONS, firings, garbled, lines, random_firings
from tests.interop.support.peers import GoCron
from tests.schedules import (
    Firing,
    Row,
    cron_table,
    difference,
    duration_difference,
    duration_table,
)

#: The seed selects the random queries.
SEED = 20260105
TABLE = cron_table()


def test_the_table_contains_the_current_queries() -> None:
    """To update it: python -m tests.interop.support.crontab."""
    assert [row.asked for row in TABLE] == list(firings())
    assert set(lines(DURATIONS)) <= set(duration_table())


async def differences(built: Programs, asked: list[Firing]) -> list[str]:
    async with GoCron(built.peer) as go:
        answers = await go.fire(asked)
    rows = [Row(question, answer) for question, answer in zip(asked, answers, strict=True)]
    # In a thread, because the first use of a zone reads a file.
    found = await asyncio.to_thread(lambda: [difference(row) for row in rows])
    return [problem for problem in found if problem]


async def test_the_table_contains_the_answers_of_go(built: Programs) -> None:
    """Except searches that do not end in Go."""
    assert not await differences(built, [row.asked for row in TABLE if not row.go.hangs])


async def test_random_specs_fire_at_the_times_of_go(built: Programs) -> None:
    assert not await differences(built, list(random_firings(random.Random(SEED), 400)))


async def test_invalid_specs_are_rejected_as_in_go(built: Programs) -> None:
    draw = random.Random(SEED)
    asked = [Firing(garbled(draw), "Europe/Berlin", 1.7e9, 1) for _ in range(600)]
    assert not await differences(built, asked)


async def test_durations_are_parsed_and_formatted_as_in_go(built: Programs) -> None:
    draw = random.Random(SEED)
    texts = [
        "".join(draw.choices(["1", "9", "0", ".", "ns", "us", "ms", "s", "m", "h"], k=6)) for _ in range(400)
    ]
    texts += [f"{draw.choice('+-')}{draw.random() * 10 ** draw.randint(0, 6):f}{unit}" for unit in "hms" * 50]
    async with GoCron(built.peer) as go:
        answers = await go.durations(texts)
    found = [duration_difference(text, answer) for text, answer in zip(texts, answers, strict=True)]
    assert not [problem for problem in found if problem]
