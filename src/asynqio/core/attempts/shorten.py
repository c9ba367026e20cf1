"""Shortens the error and the traceback of an attempt until they take few bytes when stored; both ends are kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from asynqio.core.attempts.stored_text import MARK, pack, pack_text, split

#: Longest traceback in characters.
MAX_TRACEBACK = 8_192
#: Bytes that the error and the traceback of one attempt take, compressed: ten attempts take less than 8 KB with the
#: rest of their records. Tracebacks of about 15 frames fit.
TRACEBACK_LIMIT = 512
#: Budgets are rounded down to a multiple of this, so that equal frames are shortened once.
_STEP = 16

_FRAME = re.compile(r"^  File ", re.MULTILINE)


def shorten(error: str, traceback: str, limit: int = TRACEBACK_LIMIT) -> tuple[str, str]:
    """The error and its traceback, so that `pack` makes at most `limit` bytes of them.

    The middle of a longer text is left out, with a note; of a traceback these are frames. Both texts must be valid
    Unicode.
    """
    traceback = traceback.replace(MARK, "?")
    if len(traceback) <= MAX_TRACEBACK and sum(map(len, pack(error, traceback))) <= limit:
        return error, traceback
    frames, rest = split(traceback)
    text = rest.replace(error, MARK, 1) if error else rest
    shown = _ends(error, limit * 2 // 5, MAX_TRACEBACK // 2)
    text = _ends(text, limit // 4, MAX_TRACEBACK // 4)
    rest = text.replace(MARK, shown, 1)
    left = limit - _stored(shown) - _stored(text)
    return shown, _shorten_frames(frames, left // _STEP * _STEP, MAX_TRACEBACK - len(rest)) + rest


def _stored(text: str) -> int:
    return len(pack_text(text))


@lru_cache(maxsize=64)
def _shorten_frames(frames: str, size: int, length: int) -> str:
    """Leave out frames in the middle. The last one is kept, and a third of the others are the first ones."""

    def fits(text: str) -> bool:
        return len(text) <= length and _stored(text) <= size

    if fits(frames):
        return frames
    starts = [match.start() for match in _FRAME.finditer(frames)]
    blocks = [frames[start:end] for start, end in zip([0, *starts[1:]], [*starts[1:], None], strict=True)]

    def keep(count: int) -> str:
        first = count // 3
        note = f"  … {len(blocks) - count} frames left out …\n"
        return "".join([*blocks[:first], note, *blocks[len(blocks) - (count - first) :]])

    count = _most(len(blocks) - 1, lambda count: fits(keep(count)))
    return keep(count) if count else _ends(frames, size, length)


def _ends(text: str, size: int, length: int) -> str:
    """The beginning and the end of a text, so that it takes at most `size` bytes and `length` characters."""
    if len(text) <= length and _stored(text) <= size:
        return text

    def keep(count: int) -> str:
        last = count // 3
        return f"{text[: count - last]}… {len(text) - count} characters left out …{text[len(text) - last :]}"

    return keep(_most(len(text), lambda count: len(kept := keep(count)) <= length and _stored(kept) <= size))


def _most(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 to `most` that fits; 0: none does."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        if fits(middle):
            least = middle
        else:
            most = middle - 1
    return least
