"""Hooks of MkDocs: the pages that are not in docs/, links that leave docs/, diagrams, and the Python API."""

from __future__ import annotations

import dataclasses
import enum
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, is_typeddict

import msgspec
from mermaid_render import mermaid_to_svg
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import asynqio

ROOT = Path(__file__).parents[1]

#: Pages of the root of the repository, and their places on the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
#: Public modules with a page of their own, beside `asynqio` itself.
MODULES = ("sync", "testing", "metrics", "otel", "logs", "brokers")

_FENCED = re.compile(r"^(```+).*?^\1[ \t]*$\n?", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?![a-z][a-z+.-]*:|#)([^)\s#]+)")
_MARK = re.compile(r"^<!-- .+ -->\n", re.MULTILINE)
_NAME = re.compile(r"^- `(\w+)`", re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that have no file in docs/."""
    for place, content in _generated():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn Markdown for GitHub into Markdown for the site."""
    place = page.file.src_uri
    links = _Links(_path_of(place), place, config.extra["repository"])
    parts = []
    end = 0
    for fenced in _FENCED.finditer(markdown):
        parts += [links.rewrite(_prose(markdown[end : fenced.start()], place)), _block(fenced[0], place)]
        end = fenced.end()
    parts.append(links.rewrite(_prose(markdown[end:], place)))
    return "".join(parts)


# --- pages that are not in docs/ ------------------------------------------------------------------


def _generated() -> Iterator[tuple[str, str]]:
    for path, place in ROOT_PAGES.items():
        yield place, (ROOT / path).read_text()
    lines = ["# Examples\n", "One feature per file. Each runs by itself: `python examples/hello.py`.\n"]
    for example in _examples():
        source = example.read_text()
        summary = source.removeprefix('"""').partition('"""')[0].strip()
        lines.append(f"* [{example.name}]({example.stem}.md): {summary}")
        yield f"examples/{example.stem}.md", f"# {example.name}\n\n```python\n{source}```\n"
    yield "examples/index.md", "\n".join(lines) + "\n"
    yield "reference/python/asynqio.md", _package_page()
    for module in MODULES:
        yield f"reference/python/{module}.md", _module_page(f"asynqio.{module}")


def _examples() -> list[Path]:
    return sorted((ROOT / "examples").glob("*.py"))


def _package_page() -> str:
    """The names that `asynqio` exports, under the headings of docs/reference/api.md."""
    parts = ["# asynqio\n"]
    for section in (ROOT / "docs/reference/api.md").read_text().split("\n## ")[1:]:
        parts.append(f"## {section.partition(chr(10))[0]}\n")
        parts += [_entry(f"asynqio.{name}", all_fields=_is_data(name)) for name in _NAME.findall(section)]
    return "\n".join(parts)


def _module_page(module: str) -> str:
    # The methods of asynqio.sync have no docstrings: they are those of asynqio.
    entry = _entry(module, all_fields=module == "asynqio.sync")
    return (
        f"# {module}\n\n{entry}"
        "      heading_level: 2\n      show_root_heading: false\n      show_root_toc_entry: false\n"
    )


def _entry(name: str, *, all_fields: bool) -> str:
    return f"::: {name}\n    options:\n      show_if_no_docstring: {str(all_fields).lower()}\n"


def _is_data(name: str) -> bool:
    """Whether a class is made of fields, which explain themselves by name and type."""
    kind = getattr(asynqio, name)
    return isinstance(kind, type) and (
        issubclass(kind, (msgspec.Struct, enum.Enum, tuple))
        or dataclasses.is_dataclass(kind)
        or is_typeddict(kind)
    )


# --- links ----------------------------------------------------------------------------------------


class _Links(NamedTuple):
    """The links of one page: where it lies in the repository, and where on the site."""

    path: str
    place: str
    repository: str

    def rewrite(self, markdown: str) -> str:
        return _LINK.sub(lambda link: self._target(link[1]), markdown)

    def _target(self, link: str) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), link))
        target = ROOT / path
        if place := _place_of(path):
            return posixpath.relpath(place, posixpath.dirname(self.place) or ".")
        if not target.exists():
            return link  # MkDocs reports it
        return f"{self.repository}/{'tree' if target.is_dir() else 'blob'}/main/{path}"


def _place_of(path: str) -> str:
    """The page of the site that shows a file of the repository; empty if none does."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path == "examples":
        return "examples/index.md"
    folder, _, name = path.partition("/")
    if folder == "examples" and name.endswith(".py") and (ROOT / path).is_file():
        return f"examples/{name.removesuffix('.py')}.md"
    return name if folder == "docs" and (ROOT / path).is_file() else ""


def _path_of(place: str) -> str:
    """The file of the repository that a page of the site shows."""
    for path, known in ROOT_PAGES.items():
        if place == known:
            return path
    return f"docs/{place}"


# --- text and blocks ------------------------------------------------------------------------------


def _prose(markdown: str, place: str) -> str:
    """Without the marks for the tests of the documentation, and with names linked to the Python API."""
    if place.startswith(("examples/", "reference/python/")):
        return markdown
    markdown = _MARK.sub("", markdown)
    if place == "reference/api.md":
        markdown = _NAME.sub(r"- [`\1`][asynqio.\1]", markdown)
    return markdown


def _block(block: str, place: str) -> str:
    """A diagram as a drawing: otherwise the browser would load Mermaid from another host."""
    if not block.startswith("```mermaid\n"):
        return block
    source = block.removeprefix("```mermaid\n").rstrip().removesuffix("```")
    try:
        drawing = mermaid_to_svg(source).decode()
    except ValueError as problem:
        raise PluginError(f"{place}: a diagram cannot be drawn: {problem}") from problem
    return f'<figure class="diagram">{drawing}</figure>\n'
