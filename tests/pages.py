"""The project's Markdown pages, as the tests of the documentation read them."""

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


class Block(NamedTuple):
    """One fenced block. `marks` are the comments on the lines just above it."""

    page: Path
    line: int
    language: str
    text: str
    marks: tuple[str, ...]

    @property
    def unchecked(self) -> str:
        """Why it is not checked, or an empty text."""
        return next((mark for mark in self.marks if mark.startswith("not checked:")), "")

    @property
    def file(self) -> str:
        """The file that the page says it is, or an empty text."""
        named = [mark.removeprefix("file: ") for mark in self.marks if mark.startswith("file: ")]
        return named[0] if named else ""

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Program(NamedTuple):
    """A block that is a program of its own, with the blocks before it that it continues."""

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


def programs_of(page: Path) -> list[Program]:
    """What the Python blocks of a page are: `<!-- continues -->` adds a block to the one before."""
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
    """The block as a module: one that awaits outside of a function becomes the body of one."""
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
    """The rows of all tables of a page, as cells without the code marks. Heads and rules are left out."""
    rows = [line.strip() for line in page.read_text().splitlines()]
    for above, row in itertools.pairwise(rows):
        if row.startswith("| `") and above.startswith("|"):
            yield [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
