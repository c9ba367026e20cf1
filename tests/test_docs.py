"""Checks the documentation: diagrams, tables and trees match the code, links resolve, Python blocks type-check.

A block marked `<!-- run -->` also runs, and prints the following block marked `<!-- output -->`.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from asynqio import ServerConfig, errors
from asynqio.cli.commands import COMMANDS, commands
from asynqio.core.lifecycle import MOVES
from asynqio.core.task.options import OPTION_NAMES, TaskDefaults
from tests.pages import PAGES, ROOT, Program, blocks_of, programs_of, tables_of, text_of

DOCS = ROOT / "docs"
PROGRAMS = [program for page in PAGES for program in programs_of(page)]
RUN = [program for program in PROGRAMS if program.is_run]

#: Characters in a line of Markdown, outside tables and fenced blocks. A sentence or clause has its own line.
MAX_LINE = 120
#: Words that are not plain technical English, with what to write instead.
AVOIDED = {
    r"told": "notify, report, show",
    r"whoever|somebody|nobody's": "name the actor: a worker, a client, any process",
    r"put(?:s|ting)? (?:off|in|down)": "defer, enqueue, record",
    r"so (?:many|often)": "N, this many",
    r"see(?:s|ing)? to it": "ensure",
    r"mend(?:s|ed|ing)?": "fix",
    r"manieth": "1-based index",
    r"go(?:es)? on|going on": "continue",
    r"give(?:s|n)? back|hand(?:s|ed)? back": "return",
    r"of (?:its|their) own(?! \w)": "separate, its own",
}


def each(pages: list[Path]) -> pytest.MarkDecorator:
    """Runs a test once per page."""
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


# --- language -------------------------------------------------------------------------------------

WRITTEN = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@each(WRITTEN)
def test_no_line_is_long(page: Path) -> None:
    long = [
        number for number, line in text_of(page) if len(line) > MAX_LINE and not line.lstrip().startswith("|")
    ]
    assert not long, "break these lines after a sentence or clause"


@each(WRITTEN)
def test_words_are_plain(page: Path) -> None:
    found = [
        f"{page.name}:{number}: {match[0]!r}: write {instead}"
        for number, line in enumerate(page.read_text().splitlines(), 1)
        for word, instead in AVOIDED.items()
        for match in re.finditer(rf"\b(?:{word})(?!\w)", line, re.IGNORECASE)
    ]
    assert not found


# --- the diagram of the lifecycle -----------------------------------------------------------------


def test_the_lifecycle_diagram_matches_the_code() -> None:
    [drawing] = [
        block for block in blocks_of(DOCS / "concepts" / "lifecycle.md") if block.language == "mermaid"
    ]
    lines = [line.strip() for line in drawing.text.splitlines() if "-->" in line]
    drawn = [re.fullmatch(r"(\S+) --> (\S+) : (\w+)", line) for line in lines]
    assert all(drawn), lines
    moves = {match.groups() for match in drawn if match}
    legal = {
        (move.origin.value if move.origin else "[*]", move.target.value if move.target else "[*]", move.cause)
        for move in MOVES
    }
    assert len(drawn) == len(moves), "a transition is drawn twice"
    assert moves - legal == set(), "drawn, but not in MOVES"
    assert legal - moves == set(), "in MOVES, but not drawn"


# --- links ----------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page: its headings, as GitHub converts them, and explicit `<a id="…">`."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    explicit = re.findall(r'<a id="([\w-]+)">', text)
    return {*explicit, *(re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads)}


@each(PAGES)
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)\s#]+)", page.read_text())
        todo.extend((page.parent / link).resolve() for link in links if (page.parent / link).is_file())
    assert set(PAGES) - seen == set()


def test_paths_in_the_architecture_exist() -> None:
    text = "\n".join(line for _, line in text_of(DOCS / "architecture.md"))
    paths = {path for path in re.findall(r"`([\w/.-]+(?:\.py|\.lua|\.sql|/))`", text) if "/" in path}
    source = ROOT / "src" / "asynqio"
    folders = [ROOT, source, *(source / "brokers").iterdir()]
    assert [path for path in sorted(paths) if not any((folder / path).exists() for folder in folders)] == []
    assert len(paths) > 30


# --- Python blocks ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all programs of all pages, as modules."""
    folder = tmp_path_factory.mktemp("pages")
    for program in PROGRAMS:
        (folder / f"{program.module}.py").write_text(program.source)
    return folder


def test_every_block_type_checks(folder: Path) -> None:
    (folder / "mypy.ini").write_text("[mypy]\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini"),
            *("--cache-dir", str(ROOT / ".mypy_cache" / "pages"), "."),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    where = "\n".join(f"{program.module}: {program.blocks[0].name}" for program in PROGRAMS)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{where}"


@pytest.mark.parametrize("program", RUN, ids=lambda program: program.blocks[-1].name)
def test_marked_blocks_run(program: Program, folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(folder / f"{program.module}.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    last = program.blocks[-1]
    following = [block for block in blocks_of(last.page) if block.line > last.line][:1]
    if following and "output" in following[0].marks:
        assert done.stdout == following[0].text


def test_an_unchecked_block_gives_a_reason() -> None:
    unchecked = [block for page in PAGES for block in blocks_of(page) if block.unchecked]
    assert all(len(block.unchecked) > len("not checked: ") + 8 for block in unchecked)


# --- tables and trees -----------------------------------------------------------------------------


def test_every_server_setting_is_listed_with_its_default() -> None:
    rows = {row[0]: row for row in tables_of(DOCS / "reference" / "configuration.md")}
    fields = {field.name: field for field in dataclasses.fields(ServerConfig)}
    assert rows.keys() == fields.keys()
    config = ServerConfig()
    for name, row in rows.items():
        assert row[2] == f"ASYNQIO_{name.upper()}", name
        if name == "concurrency":
            assert row[1] == "max(10, CPUs)"
        elif name == "queues":
            assert row[1] == "default=1"
            assert config.queues == {"default": 1}
        elif name == "unknown_tasks":
            assert row[1] == config.unknown_tasks.value
        else:
            assert row[1] == repr(getattr(config, name)), name


def test_every_task_option_is_listed() -> None:
    rows = {row[0]: row for row in tables_of(DOCS / "reference" / "options.md")}
    assert rows.keys() == set(OPTION_NAMES)
    for name, row in rows.items():
        everywhere = name in TaskDefaults.__annotations__
        assert row[4] == ("everywhere" if everywhere else "one task"), name


def test_every_option_of_the_worker_command_is_listed() -> None:
    page = (DOCS / "reference" / "cli.md").read_text()
    section = page.partition("## asynqio worker")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `(--[a-z-]+)`", section, re.MULTILINE))
    root: Any = typer.main.get_command(commands)
    worker = root.get_command(None, "worker")
    assert listed == {name for option in worker.params for name in option.opts if name.startswith("--")}


def test_every_command_and_option_is_listed() -> None:
    page = (DOCS / "reference" / "cli.md").read_text()
    root: Any = typer.main.get_command(commands)
    for name, target in COMMANDS.items():
        command = root.get_command(None, name)
        nested = command.commands if hasattr(command, "commands") else {"": command}
        for sub_name, sub_command in nested.items():
            if sub_command.hidden:
                assert sub_name.endswith("all") or f"`{sub_name}`" in page, f"{name} {sub_name}"
                continue
            full = f"{name} {sub_name}".rstrip()
            assert f"asynqio {full}" in page
            shown = [param for param in sub_command.params if not getattr(param, "hidden", False)]
            options = {
                opt for param in shown for opt in param.opts if opt.startswith("--") and "_" not in opt
            }
            missing = {
                option
                for option in options - {"--help"}
                if f"{option}`" not in page and f"{option} " not in page
            }
            assert not missing, full
        row = re.search(rf"^\| \[`{name}( \w+)?`\]\(#[\w-]+\) \| (.+) \|$", page, re.MULTILINE)
        assert row is not None, name
        assert row[2].lower() == target.help.rstrip(".").lower(), (
            "the overview says what `asynqio --help` says"
        )


def tree_of(text: str) -> dict[str, str]:
    """Maps each name of a drawn tree to its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in text.splitlines():
        match = re.match(r"^([│├└─ ]*)(\w+)", line)
        if match is None:
            continue
        depth = len(match[1]) // 3
        path[depth:] = [match[2]]
        parents[match[2]] = path[depth - 1] if depth else ""
    return parents


def tree_of_classes() -> dict[str, str]:
    roots = ("AsynqioError", "Directive")
    return {
        name: "" if name in roots else kind.__bases__[0].__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.AsynqioError | errors.Directive)
    }


def test_the_tree_of_errors_matches_the_code() -> None:
    page = DOCS / "reference" / "errors.md"
    drawing = next(block for block in blocks_of(page) if block.text.startswith("AsynqioError"))
    assert tree_of(drawing.text) == tree_of_classes()


def test_the_tree_in_the_module_matches_too() -> None:
    drawing = "\n".join(
        line.removeprefix("    ") for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")
    )
    assert tree_of(drawing) == tree_of_classes()


# --- bugs of Go ------------------------------------------------------------------------------------


def names_of_tests() -> set[str]:
    """The names of all test functions."""
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}


def test_every_bug_of_go_has_a_row_and_the_named_tests_exist() -> None:
    text = (DOCS / "from-go.md").read_text()
    rows = re.findall(r"^\| B(\d+) \|(.*)\|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 42))
    known = names_of_tests()
    for number, row in rows:
        for name in re.findall(r"`(test_\w+…?)`", row):
            start = name.removesuffix("…")
            found = [test for test in known if test == name or (name != start and test.startswith(start))]
            assert found, f"B{number}: there is no test {name}"


def test_every_test_of_a_bug_is_listed() -> None:
    text = (DOCS / "from-go.md").read_text()
    named = [name.removesuffix("…") for name in re.findall(r"`(test_b\d\d_\w*…?)`", text)]
    tests = [name for name in names_of_tests() if re.match(r"test_b\d\d_", name)]
    assert [name for name in tests if not any(name.startswith(start) for start in named)] == []
