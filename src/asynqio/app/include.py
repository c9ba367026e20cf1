"""Import task modules by name or by pattern."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import traceback
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

from asynqio.errors import AsynqioError, ConfigError

_OURS = Path(__file__).parents[1]
_WILDCARDS = frozenset("*?[")


def import_modules(patterns: Iterable[str]) -> list[str]:
    """Import every module that a pattern names; the names, in order of import.

    Raises ConfigError with every module that cannot be imported, TypeError.
    """
    imported: dict[str, None] = {}
    problems: list[str] = []
    cause: Exception | None = None
    for pattern in patterns:
        try:
            for name in _names(pattern):
                _load(name)
                imported[name] = None
        except ConfigError as error:
            problems += error.problems
            cause = cause or error.__cause__ or error  # type: ignore[assignment]
    if problems:
        raise ConfigError(problems) from cause
    return list(imported)


def _names(pattern: object) -> list[str]:
    """The modules that a pattern names. Imports the package that holds them. Raises ConfigError."""
    if not isinstance(pattern, str):
        raise TypeError(f"include takes module names, include('shop.tasks', 'shop.mail'), not {pattern!r}")
    if not all(pattern.split(".")) or "/" in pattern:
        raise ConfigError(
            [f"include: {pattern!r} is not a module name: write it as 'shop.tasks' or 'shop.*'"]
        )
    if _WILDCARDS.isdisjoint(pattern):
        return [pattern]
    literal: list[str] = []
    for part in pattern.split("."):
        if not _WILDCARDS.isdisjoint(part):
            break
        literal.append(part)
    if not literal:
        raise ConfigError([f"include: {pattern!r} must begin with the name of a package, such as 'shop.*'"])
    package = _load(".".join(literal))
    paths: Iterable[str] | None = getattr(package, "__path__", None)
    if paths is None:
        raise ConfigError(
            [f"include: {package.__name__!r} is a module, not a package: leave out the wildcard"]
        )
    found = sorted(name for name in _below(package.__name__, paths) if fnmatchcase(name, pattern))
    if not found:
        raise ConfigError([f"include: no module of package {package.__name__!r} matches {pattern!r}"])
    return found


def _below(package: str, paths: Iterable[str]) -> Iterator[str]:
    """Every module in a package and its sub-packages. `__main__` is left out: importing it runs a program."""
    for info in pkgutil.iter_modules(paths, f"{package}."):
        if info.name.endswith(".__main__"):
            continue
        yield info.name
        if info.ispkg:
            spec = info.module_finder.find_spec(info.name, None)
            if spec is not None and spec.submodule_search_locations is not None:
                yield from _below(info.name, spec.submodule_search_locations)


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError([f"include: {_blame(name, error)}"]) from error
        raise ConfigError([f"include: there is no module {error.name!r}{_near(error.name)}"]) from None
    except Exception as error:
        raise ConfigError([f"include: {_blame(name, error)}"]) from error


def _blame(module: str, error: Exception) -> str:
    """What failed in a module, and where."""
    if isinstance(error, AsynqioError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        # The user's own lines: not the import system's, and not ours.
        own = [frame for frame in frames if not _hidden(frame.filename)]
        place = f"{own[-1].filename}, line {own[-1].lineno}" if own else module
    return f"module {module!r} cannot be imported: {text} ({place})"


def _hidden(file: str) -> bool:
    return "importlib" in file or Path(file).is_relative_to(_OURS)


def _near(name: str) -> str:
    """The module that was probably meant."""
    parent, _, last = name.rpartition(".")
    try:
        paths = importlib.import_module(parent).__path__ if parent else None
    except (ImportError, AttributeError):
        return ""
    known = [info.name for info in pkgutil.iter_modules(paths)]
    near = difflib.get_close_matches(last, known, n=1)
    return f", did you mean {f'{parent}.{near[0]}' if parent else near[0]!r}?" if near else ""
