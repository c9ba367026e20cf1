"""Timeline: ids in order of time, compared with a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asynqio.brokers.memory.storage.timeline import Timeline


class TimelineMachine(RuleBasedStateMachine):
    """A timeline and a plain list of (time, arrival, id)."""

    def __init__(self) -> None:
        super().__init__()
        self.timeline = Timeline()
        self.model: list[tuple[float, int, str]] = []
        self.arrivals = 0

    @rule(at=st.integers(0, 9).map(float), id=st.sampled_from("abcdefgh"))
    def add(self, at: float, id: str) -> None:
        if id in [other for _, _, other in self.model]:
            return
        self.arrivals += 1
        self.timeline.add(id, at)
        self.model = sorted([*self.model, (at, self.arrivals, id)])

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.model))
        self.timeline.discard(chosen[2])
        self.model.remove(chosen)

    @precondition(lambda self: self.model)
    @rule()
    def pop(self) -> None:
        assert self.timeline.pop() == self.model.pop(0)[2]

    @invariant()
    def it_is_the_sorted_list(self) -> None:
        assert len(self.timeline) == len(self.model)
        assert self.timeline.in_order() == [id for _, _, id in self.model]
        assert self.timeline.in_order(newest_first=True) == [id for _, _, id in reversed(self.model)]
        if self.model:
            assert self.timeline.next_at() == self.model[0][0]
            assert self.timeline.last_at() == self.model[-1][0]


TestTimeline = TimelineMachine.TestCase


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50))
def test_ids_are_popped_in_order_of_time(times: list[float]) -> None:
    timeline = Timeline()
    for number, at in enumerate(times):
        timeline.add(str(number), at)
    order = [int(timeline.pop()) for _ in times]
    assert order == sorted(range(len(times)), key=lambda number: (times[number], number))


def test_removed_ids_do_not_accumulate() -> None:
    # Given a thousand times as many removed ids as present ones
    timeline = Timeline()
    timeline.add("stays", 1e9)
    for number in range(10_000):
        timeline.add(str(number), float(number))
        timeline.discard(str(number))
    # Then the heap does not hold them
    assert len(timeline) == 1
    assert len(timeline._heap) < 100
    assert timeline.next_at() == 1e9
