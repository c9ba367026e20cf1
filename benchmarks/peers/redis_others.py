"""Python task queues on Redis, each in a virtual environment of its own.

All of them without results, as the rows are about tasks whose result nobody wants; with hiredis, where they
can use it. One process, whose slots are what the system has: asyncio tasks, or threads. Celery's `solo` pool
and RQ's SimpleWorker have one slot.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.case import Case, Size
from benchmarks.peers import foreign
from benchmarks.peers.home import environment

PROGRAMS = Path(__file__).with_name("programs")


class Other(msgspec.Struct, frozen=True):
    name: str
    #: The first one is the system itself.
    requirements: tuple[str, ...]
    program: str
    slots: tuple[int, ...] = (10, 50, 200)
    two: int = 50
    bulk: bool = False
    late: bool = False

    @property
    def version(self) -> str:
        return self.requirements[0].partition("==")[2]


OTHERS = (
    Other("arq", ("arq==0.28.0", "hiredis==3.5.0"), "arq", late=True),
    Other("taskiq", ("taskiq-redis==1.2.4", "taskiq==0.13.0", "hiredis==3.5.0"), "taskiq"),
    Other("SAQ", ("saq[redis]==0.26.4", "typing_extensions==4.16.0", "hiredis==3.5.0"), "saq"),
    Other("streaq", ("streaq==7.2.0",), "streaq", bulk=True),
    Other("dramatiq", ("dramatiq[redis]==2.2.1", "hiredis==3.5.0"), "dramatiq", slots=(10, 50)),
    Other("Celery", ("celery[redis]==5.7.0", "hiredis==3.5.0"), "celery", slots=(1, 10, 50), two=10),
    Other("RQ", ("rq==3.0.0", "hiredis==3.5.0"), "rq", slots=(1,), two=1, bulk=True),
)


async def cases(other: Other) -> list[Case]:
    """Raises process.Broken with the reason when it cannot be installed."""
    python = await environment(other.program, *other.requirements)
    program = PROGRAMS / f"{other.program}_program.py"
    return foreign.cases(
        foreign.System(
            other.name,
            (str(python), str(program)),
            "Python",
            count=_count,
            slots=other.slots,
            two=other.two,
            bulk=other.bulk,
            late=other.late,
        )
    )


def _count(size: Size) -> int:
    return size.slow
