"""`module:app` on the command line → the App."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from asynqio import App, AsynqioError, ConfigError


def find_app(target: str) -> App:
    """The App that `module:app` names, looked for in the current directory first. Raises ConfigError."""
    module_name, _, path = target.partition(":")
    if not module_name or not path or "/" in target or module_name.endswith(".py"):
        raise ConfigError([f"{target!r} does not name an App{_shape(target)}"])
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: Any = _load(module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            known = _apps(found) if isinstance(found, ModuleType) else []
            hint = _near(name, known or dir(found)) or (f"; it has {', '.join(known)}" if known else "")
            raise ConfigError([f"{target}: {_named(found)} has no {name!r}{hint}"]) from None
    if not isinstance(found, App):
        made_by = " (call it in the module and name what it returns)" if callable(found) else ""
        raise ConfigError([f"{target} is {_article(found)}, not an App{made_by}"])
    return found


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError([_blame(name, error)]) from error
        siblings = [path.stem for path in Path.cwd().glob("*.py")]
        siblings += [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
        hint = _near(error.name, siblings) or ": give it as Python would import it from here"
        raise ConfigError([f"there is no module {error.name!r}{hint}"]) from None
    except AsynqioError:
        raise
    except Exception as error:
        raise ConfigError([_blame(name, error)]) from error


def _blame(module: str, error: Exception) -> str:
    """What went wrong in the user's own module, and where."""
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


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _shape(target: str) -> str:
    """What was probably meant."""
    module, _, path = target.partition(":")
    module = module.removesuffix(".py").strip("./").replace("/", ".")
    return f": write {module}:{path or 'app'}" if module else ": write module:app, such as shop.tasks:app"


def _named(value: Any) -> str:
    return f"module {value.__name__!r}" if isinstance(value, ModuleType) else _article(value)


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
