"""Python task queues on Redis, each in a separate virtual environment.

None of them stores results, and each uses hiredis if it supports it. A system runs in one process; its slots are
asyncio tasks or threads. Celery's `solo` pool and RQ's SimpleWorker have one slot.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.harness.case import Case, Size
from benchmarks.peers import peer_cases
from benchmarks.peers.install import environment

PROGRAMS = Path(__file__).with_name("programs")


class PythonPeer(msgspec.Struct, frozen=True):
    name: str
    #: The first one is the system.
    requirements: tuple[str, ...]
    program: str
    slots: tuple[int, ...] = (10, 50, 200)
    two: int = 50
    bulk: bool = False
    late: bool = False
    #: Whether its client blocks.
    blocking: bool = False
    #: Whether only its blocking client is measured.
    producer_only: bool = False

    @property
    def version(self) -> str:
        return self.requirements[0].partition("==")[2]


PEERS = (
    PythonPeer("arq", ("arq==0.28.0", "hiredis==3.5.0"), "arq", late=True),
    PythonPeer("taskiq", ("taskiq-redis==1.2.4", "taskiq==0.13.0", "hiredis==3.5.0"), "taskiq"),
    PythonPeer("SAQ", ("saq[redis]==0.26.4", "typing_extensions==4.16.0", "hiredis==3.5.0"), "saq"),
    PythonPeer("streaq", ("streaq==7.2.0",), "streaq", bulk=True),
    PythonPeer(
        "dramatiq", ("dramatiq[redis]==2.2.1", "hiredis==3.5.0"), "dramatiq", slots=(10, 50), blocking=True
    ),
    PythonPeer(
        "Celery",
        ("celery[redis]==5.7.0", "hiredis==3.5.0"),
        "celery",
        slots=(1, 10, 50),
        two=10,
        blocking=True,
    ),
    PythonPeer("RQ", ("rq==3.0.0", "hiredis==3.5.0"), "rq", slots=(1,), two=1, bulk=True, blocking=True),
    PythonPeer("huey", ("huey[redis]==3.5.4", "hiredis==3.5.0"), "huey", blocking=True, producer_only=True),
)


async def cases(peer: PythonPeer) -> list[Case]:
    """The cases of a peer. Raises process.PeerError if it cannot be installed."""
    python = await environment(peer.program, *peer.requirements)
    program = PROGRAMS / f"{peer.program}_program.py"
    system = peer_cases.System(
        peer.name,
        (str(python), str(program)),
        "Python",
        count=_count,
        slots=peer.slots,
        two=peer.two,
        bulk=peer.bulk,
        late=peer.late,
        blocking=peer.blocking,
    )
    return peer_cases.blocking_puts(system) if peer.producer_only else peer_cases.cases(system)


def _count(size: Size) -> int:
    return size.slow
