"""Carries an exception from a task process to its server, where hooks and policies look at its class."""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import sys
import traceback
import types
from collections.abc import Iterator
from typing import Any

import msgspec

from asynqio.core.lifecycle import MAX_ERROR_TEXT, error_text
from asynqio.errors import Directive

#: Exceptions of a chain of causes that are carried; the first directive beyond them is carried as well.
MAX_CAUSES = 20
#: Exceptions of a group that are carried, and levels of groups in groups.
MAX_MEMBERS, MAX_LEVELS = 15, 5
#: Characters of a traceback that are carried: its end.
MAX_TRACE = 100_000


class RemoteError(Exception):
    """Stands in for an exception of a task process that cannot be pickled. Its class has the name of the original
    and those of its bases that the server has loaded; it has the original's text."""

    remote_text = ""

    def __str__(self) -> str:
        return self.remote_text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.remote_text!r})"


class Link(msgspec.Struct, frozen=True):
    """One exception, without its causes."""

    text: str
    #: Module and qualified name of its class and of the bases of that, the most derived first.
    classes: tuple[tuple[str, str], ...]
    #: Empty if it cannot be pickled. Then what follows has its parts, as far as each can be pickled.
    pickled: bytes = b""
    args: tuple[bytes, ...] | None = None
    attributes: dict[str, bytes] = {}
    #: The exceptions of a group.
    members: tuple[Link, ...] = ()

    @classmethod
    def of(cls, error: BaseException, level: int = 0) -> Link:
        text = _text(error)
        classes = tuple((kind.__module__, kind.__qualname__) for kind in type(error).__mro__[:-1])
        pickled = _pickle(error)
        if pickled and _is_same(error, text, pickled):
            return cls(text, classes, pickled)
        args = tuple(_pickle(one) for one in error.args)
        attributes = {name: data for name, value in vars(error).items() if (data := _pickle(value))}
        members: tuple[Link, ...] = ()
        if isinstance(error, BaseExceptionGroup) and level < MAX_LEVELS:
            members = tuple(cls.of(one, level + 1) for one in error.exceptions[:MAX_MEMBERS])
        return cls(text, classes, b"", args if all(args) else None, attributes, members)

    def restore(self) -> BaseException:
        """The exception, or a RemoteError that has its name, its text and the bases that are known here."""
        if self.pickled:
            with contextlib.suppress(Exception):  # its class may exist in the task process only
                error = _Unpickler(io.BytesIO(self.pickled)).load()
                if isinstance(error, BaseException):
                    return error
        found = [(names, kind) for names in self.classes if (kind := _find(*names)) is not None]
        if found and found[0][0] == self.classes[0]:
            with contextlib.suppress(Exception):  # whatever the class makes of it
                error = self._build(found[0][1])
                if _text(error) == self.text:
                    return error
        for bases in _bases([kind for _, kind in found]):
            with contextlib.suppress(Exception):  # bases that cannot be combined, or refuse subclasses
                error = self._build(_stand_in(bases, *self.classes[0]))
                BaseException.__setattr__(error, "remote_text", self.text)
                return error
        raise AssertionError("RemoteError alone can always be built")

    def _build(self, kind: type[BaseException]) -> BaseException:
        """An exception with its parts. No code of its class runs: a constructor may expect other arguments."""
        base: Any = next(one for one in kind.__mro__ if one.__module__ == "builtins")
        args = self._args()
        error: BaseException = base.__new__(kind, *args)
        with contextlib.suppress(Exception):  # built-in classes that want other arguments have their text
            base.__init__(error, *args)
        for name, data in self.attributes.items():
            with contextlib.suppress(Exception):  # a value whose class exists in the task process only
                BaseException.__setattr__(error, name, _Unpickler(io.BytesIO(data)).load())
        return error

    def _args(self) -> tuple[Any, ...]:
        if self.members:
            return self.text, [one.restore() for one in self.members]
        with contextlib.suppress(Exception):  # as above
            if self.args is not None:
                return tuple(_Unpickler(io.BytesIO(data)).load() for data in self.args)
        return (self.text,)


class Raised(msgspec.Struct, frozen=True):
    """An exception with its causes (pickling drops them, and one may be a directive), on its way to the server."""

    #: The exception, its cause, the cause of that …
    links: tuple[Link, ...]
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Does not raise. Only `MAX_CAUSES` of a longer chain are looked at closely."""
        try:
            return cls(tuple(Link.of(link) for link in _causes(error)), _trace(error))
        except Exception as broken:  # a class whose `args` or `__cause__` raises
            kind = type(error)
            text = f"(it cannot be sent: {type(broken).__name__})"
            return cls((Link(text, ((kind.__module__, kind.__qualname__),)),), "")

    def restore(self, pid: int) -> BaseException:
        """In the server: the exception, with the traceback of the task process as a note."""
        error, *causes = [link.restore() for link in self.links]
        effect = error
        for cause in causes:
            _set(effect, "__cause__", cause)
            effect = cause
        notes = [*getattr(error, "__notes__", ()), f"in process {pid}:\n{self.trace}"]
        _set(error, "__notes__", notes)
        return error


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and its causes."""
    links: list[BaseException] = []
    directed = False
    for link in _chain(error, context=False):
        is_first_directive = isinstance(link, Directive) and not directed
        if len(links) < MAX_CAUSES or is_first_directive:
            links.append(link)
            directed = directed or is_first_directive
    return links


def _chain(error: BaseException, *, context: bool) -> Iterator[BaseException]:
    """Follow causes, and contexts if asked for, each exception once: they may form a cycle."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        cause = link.__cause__
        if cause is None and context and not link.__suppress_context__:
            cause = link.__context__
        link = cause


def _trace(error: BaseException) -> str:
    try:
        shown = list(_chain(error, context=True))
        if len(shown) <= MAX_CAUSES:
            text = "".join(traceback.format_exception(error))
        else:
            lines = [f"(the last {MAX_CAUSES} of a chain of {len(shown):,} exceptions)\n"]
            for link in reversed(shown[:MAX_CAUSES]):
                lines += [*traceback.format_tb(link.__traceback__), error_text(link), "\n"]
            text = "".join(lines)
    except Exception as broken:  # RecursionError, or whatever the class of the exception makes of it
        return f"(the traceback cannot be shown: {type(broken).__name__})"
    return text if len(text) <= MAX_TRACE else "…" + text[-MAX_TRACE:]


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_ERROR_TEXT]
    except Exception as broken:
        return f"(str() of the error raised {type(broken).__name__})"


def _pickle(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # whatever the value's own class makes of it
        return b""


def _is_same(error: BaseException, text: str, pickled: bytes) -> bool:
    """Whether unpickling makes the same of it: unpickling calls constructors with `args`."""
    try:
        copy = pickle.loads(pickled)
        return type(copy) is type(error) and _text(copy) == text
    except Exception:  # a constructor that expects other arguments
        return False


def _set(error: BaseException, name: str, value: object) -> None:
    """Set an attribute of an exception whose class may refuse that (frozen dataclasses do)."""
    with contextlib.suppress(Exception):  # a property: the exception is more than its note
        BaseException.__setattr__(error, name, value)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return super().find_class(_here(module_name), global_name)


def _here(module: str) -> str:
    """The name in the server of a module of the task process."""
    return "__main__" if module == "__mp_main__" else module


def _find(module: str, name: str) -> type | None:
    """A class of a module that is loaded. No other class can be in use here."""
    found: Any = sys.modules.get(_here(module))
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _bases(found: list[type]) -> Iterator[tuple[type, ...]]:
    """Bases for a stand-in, most of them first."""
    exceptions = [kind for kind in found if issubclass(kind, BaseException)]
    yield _without_implied(found)
    for first in range(len(exceptions)):
        yield _without_implied(exceptions[first:])
    yield (RemoteError,)


def _without_implied(kinds: list[type]) -> tuple[type, ...]:
    kept: list[type] = [RemoteError]
    for kind in kinds:
        if not any(issubclass(one, kind) for one in kept):
            kept.append(kind)
    return tuple(kept)


@functools.lru_cache(maxsize=256)
def _stand_in(bases: tuple[type, ...], module: str, name: str) -> type[BaseException]:
    """A subclass with the name of the original class."""
    names = {"__module__": _here(module), "__qualname__": name}
    return types.new_class(name.rpartition(".")[2], bases, exec_body=lambda space: space.update(names))
