"""A Lua script and the name under which Redis remembers it."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Script(NamedTuple):
    """What runs on the server in one piece. `name` is for messages only."""

    name: str
    text: str
    sha: str

    @classmethod
    def of(cls, name: str, text: str) -> Script:
        """A script with its digest."""
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return cls(name, text, digest)
