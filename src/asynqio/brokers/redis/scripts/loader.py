"""The Lua scripts, each in its own file; `include:` in a header names files that are put before it.

They are read when the first broker opens, on a thread: an event loop reads no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

from asynqio.brokers.redis.scripts.script import Script

_INCLUDE = re.compile(r"include: ([\w ]+)$", re.MULTILINE)


def _texts() -> dict[str, str]:
    """The text of every file by its name; names in `lib` begin with `lib_`."""
    texts = {}
    for folder in resources.files(__package__).iterdir():
        if folder.is_dir():
            prefix = "lib_" if folder.name == "lib" else ""
            for file in folder.iterdir():
                if file.name.endswith(".lua"):
                    texts[prefix + file.name.removesuffix(".lua")] = file.read_text(encoding="utf-8")
    return texts


def _parts(name: str, texts: dict[str, str], seen: list[str]) -> list[str]:
    """The texts of a script and of what it includes, each once, what is needed first."""
    if name in seen:
        return []
    seen.append(name)
    text = texts[name]
    needed = [other for names in _INCLUDE.findall(text) for other in names.split()]
    return [*(part for other in needed for part in _parts(other, texts, seen)), _without_comments(text)]


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
            texts = _texts()
            self._scripts = {
                name: Script.of(name, "\n".join(_parts(name, texts, [])))
                for name in sorted(texts)
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
