"""Load the Lua scripts: one file each; `include: lib/x` in a header puts the text of lib/x.lua before the script.
Folders whose names begin with lib hold no scripts.

The files are read when the first broker opens, in a thread, because file I/O would block the event loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

from asynqio.brokers.redis.scripts.script import Script

_INCLUDE = re.compile(r"include: ([\w/ ]+)$", re.MULTILINE)


def _texts() -> dict[str, str]:
    """The text of every file by `folder/name`."""
    return {
        f"{folder.name}/{file.name.removesuffix('.lua')}": file.read_text(encoding="utf-8")
        for folder in resources.files(__package__).iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }


def _parts(path: str, texts: dict[str, str], seen: list[str]) -> list[str]:
    """The texts of a script and of its includes, each once, dependencies first."""
    if path in seen:
        return []
    seen.append(path)
    text = texts[path]
    includes = [include for paths in _INCLUDE.findall(text) for include in paths.split()]
    return [*(part for include in includes for part in _parts(include, texts, seen)), _without_comments(text)]


def _without_comments(text: str) -> str:
    """Redis keeps the text of every script in memory, so comments are not sent."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(line for line in lines if line.strip())


class Scripts:
    """All scripts as attributes: `LUA.settle`. Names are unique across folders. Call `read` first."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}

    def read(self) -> None:
        """Read all scripts, once."""
        if self._scripts:
            return
        texts = _texts()
        for path in sorted(texts):
            folder, _, name = path.partition("/")
            if not folder.startswith("lib"):
                self._scripts[name] = Script.of(name, "\n".join(_parts(path, texts, [])))

    def __getattr__(self, name: str) -> Script:
        try:
            return self._scripts[name]
        except KeyError:
            raise AttributeError(f"no script {name!r}, or the scripts have not been read yet") from None

    def __iter__(self) -> Iterator[Script]:
        return iter(self._scripts.values())


LUA = Scripts()
