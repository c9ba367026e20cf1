"""The Lua scripts, each in its own file; `include:` in a header names files that are put before it.

They are read when the first broker opens, on a thread: an event loop reads no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

from asynqio.brokers.redis.script import Script

_INCLUDE = re.compile(r"include: ([\w ]+)$", re.MULTILINE)


def _read(name: str) -> str:
    return (resources.files(__package__) / "scripts" / f"{name}.lua").read_text(encoding="utf-8")


def _parts(name: str, seen: list[str]) -> list[str]:
    """The texts of a script and of what it includes, each once, what is needed first."""
    if name in seen:
        return []
    seen.append(name)
    text = _read(name)
    needed = [other for names in _INCLUDE.findall(text) for other in names.split()]
    return [*(part for other in needed for part in _parts(other, seen)), _without_comments(text)]


def _without_comments(text: str) -> str:
    """Servers keep the text of every script they have seen; what explains it stays here."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(line for line in lines if line.strip())


class Scripts:
    """All scripts as attributes: `LUA.settle`. `read` comes first."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}

    def read(self) -> None:
        """Read them all, once."""
        if not self._scripts:
            folder = resources.files(__package__) / "scripts"
            names = sorted(file.name.removesuffix(".lua") for file in folder.iterdir())
            self._scripts = {
                name: Script.of(name, "\n".join(_parts(name, [])))
                for name in names
                if not name.startswith("lib_")
            }

    def __getattr__(self, name: str) -> Script:
        try:
            return self._scripts[name]
        except KeyError:
            raise AttributeError(f"there is no script {name!r}, or none was read yet") from None

    def __iter__(self) -> Iterator[Script]:
        return iter(self._scripts.values())


LUA = Scripts()
