"""The dependency rule, enforced by reading the imports: a module imports only from lower layers, or its own
package. See `layer_of` for the layers."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SRC = REPOSITORY / "src"
ROOT = SRC / "asynqio"
MODULES = sorted(ROOT.rglob("*.py"))
#: Source files of every language: all of them obey the limits.
LANGUAGES = {".go", ".lua", ".py", ".rs", ".sql", ".ts", ".tsx"}
SOURCES = sorted(
    path
    for top in ("src", "tests", "benchmarks", "examples")
    for path in (REPOSITORY / top).rglob("*")
    if path.suffix in LANGUAGES and "node_modules" not in path.parts
)
FOLDERS = sorted({path.parent for path in SOURCES})
MAX_LINES = 450
#: Modules in one folder, without those in its sub-folders.
MAX_MODULES = 15
NOT_COUNTED = {"__init__.py", "conftest.py"}
#: Folders that may hold more, each with its reason.
LARGE_FOLDERS = {
    "examples": "a flat list with one feature per file is its own index",
}

#: What the core may not even look at: it decides, others do.
IMPURE = {
    "asyncio",
    "logging",
    "multiprocessing",
    "os",
    "random",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
}
#: Where a core module may import one name of an impure module, as a type.
TYPES_ONLY = {
    "asynqio.core.election": {"random.Random"},
    "asynqio.core.queue_order": {"random.Random"},
}
#: The contract, and what it is written in.
CONTRACT = {
    "asynqio.brokers.contract.broker",
    "asynqio.brokers.contract.inspection",
    "asynqio.brokers.contract.producer",
    "asynqio.brokers.contract.results",
    "asynqio.brokers.contract.limits",
    "asynqio.brokers.contract.per_loop",
    "asynqio.brokers.contract.backoff",
    "asynqio.brokers.contract.connecting",
    "asynqio.brokers.contract.open_sockets",
    "asynqio.brokers.contract.processes",
    "asynqio.brokers.contract.cursors",
    "asynqio.brokers.contract.documents",
    "asynqio.brokers.contract.signals",
    "asynqio.blocking",
    "asynqio.clock",
    "asynqio.directives",
    "asynqio.error_pickling",
    "asynqio.errors",
}
#: What nobody pays for who only imports asynqio.
HEAVY = (
    "sqlite3",
    "redis",
    "asyncpg",
    "typer",
    "rich",
    "textual",
    "watchfiles",
    "pydantic",
    "litestar",
    "prometheus_client",
    "websockets",
    "opentelemetry",
    "pytest",
)


def name_of(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """The folder below asynqio that a module lives in, brokers by kind: `asynqio.brokers.memory`."""
    if module == "asynqio.__main__":
        return "asynqio.cli"  # `python -m asynqio` is the command line
    parts = module.split(".")
    return ".".join(parts[:3] if parts[1:2] == ["brokers"] else parts[:2])


def layer_of(module: str) -> int:
    package = package_of(module)
    if package == "asynqio.core":
        return 0
    if module in CONTRACT:
        return 1
    if package.startswith("asynqio.brokers."):
        return 2
    if package == "asynqio.runtime":
        return 3
    if package == "asynqio.gateway":
        return 5
    return (
        6 if package in ("asynqio.cli", "asynqio.__main__") else 4
    )  # asynqio.brokers itself opens URLs: api


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported thing, dotted with its name, and whether it is imported at the top of the module."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from ((f"{node.module}.{alias.name}", top) for alias in node.names)


def module_of(imported: str) -> str:
    """The module in which an imported name lives."""
    parts = imported.split(".")
    while parts and not is_module(".".join(parts)):
        parts.pop()
    return ".".join(parts)


def is_module(name: str) -> bool:
    path = SRC.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def own_imports(path: Path) -> Iterator[tuple[str, bool]]:
    for imported, top in imports_of(path):
        if imported.split(".")[0] == "asynqio":
            yield module_of(imported), top


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


@each_module
def test_a_module_imports_only_from_lower_layers_or_its_own_package(path: Path) -> None:
    name = name_of(path)
    for imported, _ in own_imports(path):
        if package_of(imported) == package_of(name) or name == "asynqio":
            continue
        if name == "asynqio.brokers" and layer_of(imported) == 2:
            continue  # the one place that turns a URL into a broker; `test_import_…` sees that it is lazy
        if layer_of(name) == 0 and imported == "asynqio.errors":
            continue
        if layer_of(name) == layer_of(imported) in (1, 4):
            continue
        assert layer_of(imported) < layer_of(name), f"{name} must not import {imported}"


@each_module
def test_the_core_is_pure(path: Path) -> None:
    name = name_of(path)
    if layer_of(name):
        return
    for imported, _ in imports_of(path):
        top = imported.split(".")[0]
        assert top in sys.stdlib_module_names | {"msgspec", "asynqio"}, f"{name} must not import {imported}"
        assert top not in IMPURE or imported in TYPES_ONLY.get(name, ()), f"{name} must not import {imported}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"utcnow", "today"}, f"{name}: the core reads no clock"
            assert node.attr != "now" or not isinstance(node.value, ast.Name) or node.value.id != "datetime"
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{name}: the core does not wait"


@each_module
def test_a_broker_knows_no_other_broker(path: Path) -> None:
    name = name_of(path)
    if layer_of(name) != 2:
        return
    for imported, _ in own_imports(path):
        assert layer_of(imported) < 2 or package_of(imported) == package_of(name), (
            f"{name} must not import {imported}"
        )


@each_module
def test_the_runtime_knows_no_concrete_broker(path: Path) -> None:
    name = name_of(path)
    if layer_of(name) != 3:
        return
    for imported, _ in own_imports(path):
        assert imported != "asynqio.brokers", f"{name} opens a broker; it must be given one"
        assert layer_of(imported) != 2, f"{name} must not import {imported}"


@each_module
def test_a_face_uses_public_names_only(path: Path) -> None:
    name = name_of(path)
    if layer_of(name) != 6:
        return
    for imported, _ in own_imports(path):
        public = package_of(imported) == package_of(name) or imported in {
            "asynqio",
            "asynqio.brokers",
            "asynqio.errors",
            "asynqio.gateway",
            "asynqio.logs",
            "asynqio.metrics",
        }
        assert public, f"{name} must not import {imported}: take what asynqio/__init__.py exports"


#: Calls that use the default executor of an event loop. User code may fill it, so asynqio must not wait for it.
EXECUTOR_CALLS = {"to_thread", "getaddrinfo", "getnameinfo", "open_connection", "set_default_executor"}


def default_executor_calls(path: Path) -> Iterator[str]:
    """Calls in a module that use the default executor: `loop.create_connection` with a host looks it up there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, first = node.func.attr, node.args[0] if node.args else None
        default = name == "run_in_executor" and isinstance(first, ast.Constant) and first.value is None
        of_loop = not (isinstance(node.func.value, ast.Name) and node.func.value.id == "socket")
        host = (
            name == "create_connection" and of_loop and not any(word.arg == "sock" for word in node.keywords)
        )
        if name in EXECUTOR_CALLS or default or host:
            yield f"line {node.lineno}: {name}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_uses_the_default_executor(path: Path) -> None:
    assert list(default_executor_calls(path)) == [], "use asynqio.blocking.run_blocking"


def test_there_is_no_import_circle() -> None:
    circles = [sorted(circle) for circle in strongly_connected(import_graph()) if len(circle) > 1]
    assert circles == [], "import circles, imports for type checkers included"


def import_graph() -> dict[str, set[str]]:
    """The imported modules of every module; the public face `asynqio` is left out, it imports everything lazily."""
    return {
        name_of(path): {imported for imported, _ in own_imports(path)} - {"asynqio", name_of(path)}
        for path in MODULES
        if name_of(path) != "asynqio"
    }


def strongly_connected(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that reach each other (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.append(group)

    for node in graph:
        if node not in order:
            visit(node)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_file_holds_one_idea(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{lines} lines: look for the second idea in this file"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(REPOSITORY)))
def test_a_folder_has_few_modules(folder: Path) -> None:
    modules = [path for path in SOURCES if path.parent == folder and path.name not in NOT_COUNTED]
    if str(folder.relative_to(REPOSITORY)) not in LARGE_FOLDERS:
        assert len(modules) <= MAX_MODULES, f"{len(modules)} modules: group them by idea"


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import asynqio",
        "import asynqio.brokers",
        "import asynqio.testing",
        "from asynqio.brokers import open_broker; open_broker('memory://')",
    ],
)
def test_importing_asynqio_loads_no_driver_and_no_tool(statement: str) -> None:
    loaded = loaded_by(statement)
    assert "asynqio" in loaded
    assert loaded.isdisjoint(HEAVY), sorted(loaded & set(HEAVY))


def test_the_rule_itself_can_fail(tmp_path: Path) -> None:
    # Given what the tests above look for
    assert (
        layer_of("asynqio.core.task.task")
        < layer_of("asynqio.brokers.contract.broker")
        < layer_of("asynqio.brokers.memory.storage.queue")
    )
    assert (
        layer_of("asynqio.runtime.fetching.fetcher")
        < layer_of("asynqio.client")
        < layer_of("asynqio.cli.main")
    )
    assert package_of("asynqio.brokers.memory.storage.queue") != package_of("asynqio.brokers.sqlite.queue")
    assert module_of("asynqio.core.task.task.Task") == "asynqio.core.task.task"
    # Then an import inside a function is found as well
    lazy = tmp_path / "lazy.py"
    lazy.write_text("def f():\n    import socket\n    from asynqio.core.task import task\n")
    # And a circle over three modules is one
    assert sorted(map(sorted, strongly_connected({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}))) == [
        ["a", "b", "c"],
        ["d"],
    ]
    assert list(imports_of(lazy)) == [("socket", False), ("asynqio.core.task.task", False)]
    lazy.write_text(
        "async def f():\n    await asyncio.to_thread(g)\n    loop.run_in_executor(None, g)\n"
        "    loop.run_in_executor(own, g)\n    loop.create_connection(p, host, 1)\n"
        "    loop.create_connection(p, sock=s)\n    socket.create_connection(a)\n"
    )
    assert sorted(default_executor_calls(lazy)) == [
        "line 2: to_thread",
        "line 3: run_in_executor",
        "line 5: create_connection",
    ]
    assert len(MODULES) > 10
