"""Go's answers about schedules, fetched now: ours are the same, and the tables of the unit tests are not stale."""

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

#: Another one asks other questions; the same one, the same.
SEED = 20260105
TABLE = cron_table()


def test_the_table_answers_the_questions_that_are_asked_now() -> None:
    """Else: python -m tests.interop.support.crontab."""
    assert [row.asked for row in TABLE] == list(firings())
    assert set(lines(DURATIONS)) <= set(duration_table())


async def differences(built: Programs, asked: list[Firing]) -> list[str]:
    async with GoCron(built.peer) as go:
        answers = await go.fire(asked)
    rows = [Row(question, answer) for question, answer in zip(asked, answers, strict=True)]
    # In a thread, because the first use of a zone reads its file.
    found = await asyncio.to_thread(lambda: [difference(row) for row in rows])
    return [problem for problem in found if problem]


async def test_go_still_says_what_the_table_says(built: Programs) -> None:
    """Without the searches that have no end."""
    assert not await differences(built, [row.asked for row in TABLE if not row.go.hangs])


async def test_random_specs_fire_when_go_fires_them(built: Programs) -> None:
    assert not await differences(built, list(random_firings(random.Random(SEED), 400)))


async def test_garbled_specs_are_refused_where_go_refuses_them(built: Programs) -> None:
    draw = random.Random(SEED)
    asked = [Firing(garbled(draw), "Europe/Berlin", 1.7e9, 1) for _ in range(600)]
    assert not await differences(built, asked)


async def test_durations_are_read_and_written_as_go_does(built: Programs) -> None:
    draw = random.Random(SEED)
    texts = [
        "".join(draw.choices(["1", "9", "0", ".", "ns", "us", "ms", "s", "m", "h"], k=6)) for _ in range(400)
    ]
    texts += [f"{draw.choice('+-')}{draw.random() * 10 ** draw.randint(0, 6):f}{unit}" for unit in "hms" * 50]
    async with GoCron(built.peer) as go:
        answers = await go.durations(texts)
    found = [duration_difference(text, answer) for text, answer in zip(texts, answers, strict=True)]
    assert not [problem for problem in found if problem]
