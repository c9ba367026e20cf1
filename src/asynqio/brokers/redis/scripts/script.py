"""A Lua script and the SHA-1 digest that EVALSHA calls it by."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Script(NamedTuple):
    """A script that Redis runs atomically. `name` is for error messages only."""

    name: str
    text: str
    sha: str

    @classmethod
    def of(cls, name: str, text: str) -> Script:
        """A script with its digest."""
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return cls(name, text, digest)
