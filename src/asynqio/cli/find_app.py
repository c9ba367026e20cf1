"""Imports the App that `MODULE:APP` names."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from asynqio import App, AsynqioError, ConfigError


def find_app(target: str, include: Sequence[str] = ()) -> App:
    """Import the App that `module:app` names, then the modules of `include` (see `App.include`). The current
    directory comes first in sys.path. Raises ConfigError."""
    module_name, _, path = target.partition(":")
    if not module_name or not path or "/" in target or module_name.endswith(".py"):
        raise ConfigError([f"{target!r} does not name an App{_suggestion(target)}"])
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found: Any = _load(module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            known = _apps(found) if isinstance(found, ModuleType) else []
            hint = _closest(name, known or dir(found)) or (f"; it has {', '.join(known)}" if known else "")
            raise ConfigError([f"{target}: {_describe(found)} has no {name!r}{hint}"]) from None
    if not isinstance(found, App):
        advice = " (assign the App to a variable of the module and name that)" if callable(found) else ""
        raise ConfigError([f"{target} is {_article(found)}, not an App{advice}"])
    found.include(*include)
    return found


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError([_import_error(name, error)]) from error
        siblings = [path.stem for path in Path.cwd().glob("*.py")]
        siblings += [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
        hint = _closest(error.name, siblings) or "; name it as an import statement in this directory would"
        raise ConfigError([f"there is no module {error.name!r}{hint}"]) from None
    except AsynqioError:
        raise
    except Exception as error:
        raise ConfigError([_import_error(name, error)]) from error


def _import_error(module: str, error: Exception) -> str:
    """The error in the user's module, with its place."""
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    else:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename
        ]
        place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "?"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return (
        f"module {module!r} cannot be imported: {type(error).__name__}: {text} "
        f"({place}; --debug shows the traceback)"
    )


def _apps(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, App)]


def _closest(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""


def _suggestion(target: str) -> str:
    """The target that was probably meant."""
    module, _, path = target.partition(":")
    module = module.removesuffix(".py").strip("./").replace("/", ".")
    return f": write {module}:{path or 'app'}" if module else ": write module:app, such as shop.tasks:app"


def _describe(value: Any) -> str:
    return f"module {value.__name__!r}" if isinstance(value, ModuleType) else _article(value)


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
