"""Times and durations for people."""

from __future__ import annotations

import pytest

from asynqio.core.explain.humanize import ago, coming, first_line, moment, sentence, since, span

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (0.0004, "0 s"),
        (0.2512, "0.251 s"),
        (9.99, "9.99 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (3_599.7, "1 h"),
        (3_700, "1 h 1 min"),
        (86_400 * 2 + 3 * 3_600 + 59, "2 d 3 h"),
        (86_400 * 400, "400 d"),
    ],
)
def test_durations_are_formatted(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_times_are_formatted() -> None:
    assert moment(NOW + 250, NOW) == "22:17:30 UTC"
    assert moment(NOW + 86_400, NOW) == "2023-11-15 22:13:20 UTC"
    assert coming(NOW + 250, NOW) == "in 4 min 10 s, at 22:17:30 UTC"
    assert coming(NOW - 1, NOW) == "now"
    assert since(NOW - 250, NOW) == "for 4 min 10 s, since 22:09:10 UTC"
    assert ago(NOW - 2, NOW) == "2 s ago, at 22:13:18 UTC"
    assert moment(1e30, NOW) == "an invalid time"


def test_a_quotation_is_one_bounded_line() -> None:
    assert sentence("no\nsecond line") == "no."
    assert sentence("really?") == "really?"
    assert first_line("  x\ny") == "x"
    assert len(first_line("x" * 5_000)) == 300
