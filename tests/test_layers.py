"""The dependency rule, enforced by reading the imports: a module imports only from lower layers, or its own
package. See `layer_of` for the layers."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
ROOT = SRC / "asynqio"
MODULES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 450

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
TYPES_ONLY = {"asynqio.core.queues": {"random.Random"}}
#: The contract, and what it is written in.
CONTRACT = {
    "asynqio.brokers.contract.broker",
    "asynqio.brokers.contract.inspection",
    "asynqio.brokers.contract.results",
    "asynqio.brokers.contract.limits",
    "asynqio.brokers.contract.cursors",
    "asynqio.brokers.contract.signals",
    "asynqio.clock",
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
    return (
        5 if package in ("asynqio.cli", "asynqio.__main__") else 4
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
    if layer_of(name) != 5:
        return
    for imported, _ in own_imports(path):
        public = package_of(imported) == package_of(name) or imported in {
            "asynqio",
            "asynqio.brokers",
            "asynqio.errors",
            "asynqio.logs",
            "asynqio.metrics",
        }
        assert public, f"{name} must not import {imported}: take what asynqio/__init__.py exports"


@each_module
def test_a_file_is_one_idea_and_fits_in_the_head(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


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
    assert list(imports_of(lazy)) == [("socket", False), ("asynqio.core.task.task", False)]
    assert len(MODULES) > 10
