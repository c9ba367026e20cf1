"""The due time of a delayed task, as the scripts expect it."""

from __future__ import annotations

import math

#: Seconds below which a delay is exact. Longer ones end at the next whole second.
EXACT_BELOW = 1.0


def due_score(at: float, now: float) -> str:
    """Whole seconds, rounded up, for Go; less than a second from now the exact time, with a decimal point, of which
    scripts/lib/delay_task.lua stores both."""
    whole = math.ceil(at)
    return repr(float(at)) if at - now < EXACT_BELOW and whole > now else str(whole)
