"""Handlers that take and return values of many kinds: the same in each lane."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, SecretStr

if TYPE_CHECKING:
    from decimal import Decimal as Hidden


class Aliased(BaseModel):
    x: int = Field(0, alias="X")


class Secret(BaseModel):
    password: SecretStr


def partly_checked(hidden: Hidden, number: int, later: Later | None = None) -> Any:
    return [hidden, number, later is None or later.x]


async def partly_checked_async(hidden: Hidden, number: int, later: Later | None = None) -> Any:
    return partly_checked(hidden, number, later)


def echo(models: list[Aliased] | None) -> list[Aliased] | None:
    return models


async def echo_async(models: list[Aliased] | None) -> list[Aliased] | None:
    return models


def refused(kind: str) -> Any:
    return {"a": [1, math.nan]} if kind == "number" else [Secret(password=SecretStr("hunter2"))]


async def refused_async(kind: str) -> Any:
    return refused(kind)


@dataclasses.dataclass
class Later:
    x: int
