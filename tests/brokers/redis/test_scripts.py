"""The Lua scripts: unique names, existing includes, and no script without a caller."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from asynqio.brokers.redis.scripts.loader import LUA

SOURCE = Path(__file__).parents[3] / "src" / "asynqio" / "brokers" / "redis"
FILES = sorted((SOURCE / "scripts").glob("*/*.lua"))


def test_names_are_unique_across_folders() -> None:
    counts = Counter(path.stem for path in FILES)
    assert [name for name, count in counts.items() if count > 1] == []


def test_includes_exist() -> None:
    paths = {path.relative_to(SOURCE / "scripts").with_suffix("").as_posix() for path in FILES}
    for path in FILES:
        for line in re.findall(r"include: (.*)$", path.read_text(), re.MULTILINE):
            assert set(line.split()) <= paths, path


def test_every_script_is_called() -> None:
    LUA.read()
    called = {name for path in SOURCE.rglob("*.py") for name in re.findall(r"\bLUA\.(\w+)", path.read_text())}
    assert {script.name for script in LUA} == called - {"read"}
