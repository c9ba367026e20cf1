"""Parses the project's Markdown pages for the tests of the documentation."""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])

_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>[\w-]*)\s*$")
_COMMENT = re.compile(r"^<!-- (.+?) -->$")
#: `make bench ARGS="--write …"` writes what is between these two comments.
_GENERATED = re.compile(r"^<!-- (?P<end>end of )?(redis )?results -->$")


class Block(NamedTuple):
    """One fenced block. `marks` are the comments on the lines directly above it."""

    page: Path
    line: int
    language: str
    text: str
    marks: tuple[str, ...]

    @property
    def unchecked(self) -> str:
        """Why the block is not checked, or an empty string."""
        return next((mark for mark in self.marks if mark.startswith("not checked:")), "")

    @property
    def file(self) -> str:
        """The file name given by the page, or an empty string."""
        named = [mark.removeprefix("file: ") for mark in self.marks if mark.startswith("file: ")]
        return named[0] if named else ""

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Program(NamedTuple):
    """A block as a standalone program, with the blocks before it that it continues."""

    module: str
    source: str
    blocks: tuple[Block, ...]

    @property
    def is_run(self) -> bool:
        return any("run" in block.marks for block in self.blocks)


def blocks_of(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    lines = iter(enumerate(page.read_text().splitlines(), 1))
    marks: list[str] = []
    for number, line in lines:
        if comment := _COMMENT.match(line.strip()):
            marks.append(comment[1])
        elif fence := _FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner.rstrip() == fence["fence"]:
                    break
                body.append(inner)
            yield Block(page, number, fence["language"], "\n".join(body) + "\n", tuple(marks))
            marks = []
        elif line.strip():
            marks = []


def text_of(page: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page, with their numbers, without fenced blocks and generated parts. Includes tables."""
    fence = ""
    generated = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if mark := _GENERATED.match(line):
            generated = not mark["end"]
        elif fence:
            fence = "" if line.rstrip() == fence else fence
        elif start := _FENCE.match(line):
            fence = start["fence"]
        elif not generated:
            yield number, line


def programs_of(page: Path) -> list[Program]:
    """The Python blocks of a page as programs: `<!-- continues -->` appends a block to the previous one."""
    slug = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
    blocks = [block for block in blocks_of(page) if block.language == "python" and not block.unchecked]
    files = {block.file.removesuffix(".py"): f"{slug}__{block.file.removesuffix('.py')}" for block in blocks}
    programs: list[Program] = []
    for block in blocks:
        source = _awaiting(block)
        for file, module in files.items():
            if file:
                source = re.sub(rf"\b(from|import) {file}\b", rf"\1 {module}", source)
        if "continues" in block.marks:
            last = programs.pop()
            programs.append(Program(last.module, last.source + "\n" + source, (*last.blocks, block)))
        else:
            module = files[block.file.removesuffix(".py")] if block.file else f"{slug}_line_{block.line}"
            programs.append(Program(module, source, (block,)))
    return programs


def _awaiting(block: Block) -> str:
    """The block as a module; top-level `await` is wrapped in a coroutine."""
    try:
        compile(block.text, block.name, "exec")
    except SyntaxError:
        compile(block.text, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        name = f"block_{block.line}"
        body = textwrap.indent(block.text, "    ")
        start = f"if __name__ == '__main__':\n    asyncio.run({name}())\n"
        return f"import asyncio\n\nasync def {name}() -> None:\n{body}\n{start}"
    return block.text


def tables_of(page: Path) -> Iterator[list[str]]:
    """The rows of all tables of a page, as cells without backquotes. Excludes header and delimiter rows."""
    rows = [line.strip() for line in page.read_text().splitlines()]
    for above, row in itertools.pairwise(rows):
        if row.startswith("| `") and above.startswith("|"):
            yield [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
