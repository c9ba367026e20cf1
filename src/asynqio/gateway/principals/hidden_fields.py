"""Structs with fields that never reach a log."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class HiddenFields(msgspec.Struct, frozen=True):
    """The `repr` of a struct shows only the fields that are listed in `SHOWN`."""

    SHOWN: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.SHOWN]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"
        )
