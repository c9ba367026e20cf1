"""Which of many servers acts on a signal that all receive."""

from __future__ import annotations

from random import Random

from asynqio.core.election import Election

LONGEST = 0.002


def longest(one: Election) -> float:
    """About the longest delay of this server, in milliseconds."""
    random = Random(1)
    return round(1_000 * max(one.delay(random) for _ in range(5_000)), 1)


def test_the_server_that_found_work_last_acts_at_once() -> None:
    new, winner, loser = Election(LONGEST), Election(LONGEST), Election(LONGEST)
    winner.won()
    loser.won()
    loser.lost(0.0)
    assert [one.leads for one in (new, winner, loser)] == [False, True, False]
    assert [longest(one) for one in (new, winner, loser)] == [2.0, 0.0, 2.0]


def test_delays_double_with_losses_in_a_row() -> None:
    one = Election(LONGEST)
    found = []
    for number in range(7):
        one.lost(number * 0.05)
        found.append(longest(one))
    assert found == [2.0, 4.0, 8.0, 16.0, 32.0, 32.0, 32.0]
    one.lost(1_000.0)
    assert longest(one) == 2.0


def test_delays_grow_with_collisions_and_shrink_with_success() -> None:
    one = Election(LONGEST)
    found = []
    for number in range(3):
        one.collided(number * 1_000.0)
        found.append(longest(one))
    assert found == [8.0, 32.0, 32.0]
    for number in range(20):
        one.won()
        one.lost(1_000_000.0 * number)
    assert longest(one) == 2.0


def test_few_of_many_servers_act_in_the_first_moment() -> None:
    random = Random(1)
    crowds = [sorted(Election(LONGEST).delay(random) for _ in range(50)) for _ in range(200)]
    # Those that act within a quarter of a millisecond of the first one, in which it takes the work.
    early = [sum(delay <= crowd[0] + 0.00025 for delay in crowd) for crowd in crowds]
    assert sum(early) / len(early) < 4
    assert max(crowd[0] for crowd in crowds) < LONGEST
