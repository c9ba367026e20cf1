"""Griffe extension: the `#:` comment above an attribute is its description in the Python API."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from griffe import Attribute, Docstring, Extension, ObjectNode


class AttributeComments(Extension):
    """Reads comments from the source, since no syntax tree has them."""

    def on_attribute_instance(
        self, *, node: ast.AST | ObjectNode, attr: Attribute, agent: Any, **kwargs: Any
    ) -> None:
        """Describe an attribute that has no docstring by the comment above it."""
        if attr.docstring is not None or attr.lineno is None or not isinstance(attr.filepath, Path):
            return
        lines = attr.lines_collection[attr.filepath]
        found: list[str] = []
        number = attr.lineno - 1  # the line above: line numbers start at 1, and the list at 0
        while number > 0 and (line := lines[number - 1].strip()).startswith("#: "):
            found.insert(0, line.removeprefix("#: "))
            number -= 1
        if found:
            attr.docstring = Docstring("\n".join(found), lineno=number + 1, parent=attr)
