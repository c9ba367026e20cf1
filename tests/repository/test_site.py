"""The documentation site: it builds without a warning, keeps its addresses, and loads nothing from other hosts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import asynqio
from tests.repository.tools import ROOT, run, tool

pytestmark = pytest.mark.slow

#: Addresses that were published. A page that moves leaves a redirect.
ADDRESSES = (Path(__file__).parent / "addresses.txt").read_text().split()
#: Attributes of elements that the browser loads by itself.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = run(tool("mkdocs"), "build", "--strict", "--site-dir", folder, NO_MKDOCS_2_WARNING="1")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert [line for line in said.splitlines() if not line.startswith("INFO ")] == []
    return folder


class Page(HTMLParser):
    """What a page loads, links to and can be linked at."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(given.get(LOADED.get(tag, ""), ""))
        if tag == "a":
            self.links.append(given.get("href", ""))
        self.ids |= {given.get("id", ""), given.get("data-md-component", "")}


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """All pages by their address."""
    return {str(file.parent.relative_to(site)): Page(file) for file in site.rglob("index.html")}


def test_every_address_is_kept(pages: dict[str, Page]) -> None:
    assert set(ADDRESSES) - pages.keys() == set()


def test_every_page_of_the_documentation_has_its_address(pages: dict[str, Page]) -> None:
    docs = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in (ROOT / "docs").rglob("*.md")}
    assert docs - pages.keys() == set()
    examples = {f"examples/{file.stem}" for file in (ROOT / "examples").glob("*.py")}
    assert examples - pages.keys() == set()


def test_every_public_name_is_in_the_reference(pages: dict[str, Page]) -> None:
    names = {f"asynqio.{name}" for name in asynqio.__all__}
    assert names - pages["reference/python/asynqio"].ids == set()
    assert {"asynqio.Client.enqueue", "asynqio.Inspector.queues"} <= pages["reference/python/asynqio"].ids
    assert {"asynqio.sync.Client.enqueue"} <= pages["reference/python/sync"].ids
    assert {"asynqio.testing.FakeClock"} <= pages["reference/python/testing"].ids
    assert {"asynqio.metrics.QueueCollector"} <= pages["reference/python/metrics"].ids
    assert {"asynqio.otel.instrument"} <= pages["reference/python/otel"].ids
    assert {"asynqio.brokers.open_broker"} <= pages["reference/python/brokers"].ids


def test_no_page_loads_anything_from_another_host(site: Path, pages: dict[str, Page]) -> None:
    loads = {(address, url) for address, page in pages.items() for url in page.loads}
    assert len(loads) > 100
    assert [(address, url) for address, url in loads if re.match(r"(https?:)?//", url)] == []
    # The theme would ask GitHub for the number of stars, and a CDN for Mermaid
    assert [address for address, page in pages.items() if "source" in page.ids] == []
    assert [file for file in site.rglob("*.html") if 'class="mermaid"' in file.read_text()] == []
    assert [
        file for file in site.rglob("*.css") if re.search(r"url\(['\"]?(https?:)?//", file.read_text())
    ] == []


def test_links_to_the_repository_lead_to_files(pages: dict[str, Page]) -> None:
    start = re.compile(r"https://github\.com/asynqio/asynqio/(?:blob|tree)/main/([^#]+)")
    paths = {found[1] for page in pages.values() for link in page.links if (found := start.match(link))}
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_diagrams_are_drawn(site: Path) -> None:
    drawn = sum(file.read_text().count('<figure class="diagram"><svg') for file in site.rglob("*.html"))
    written = sum(page.read_text().count("```mermaid\n") for page in (ROOT / "docs").rglob("*.md"))
    assert drawn == written > 0


def test_lists_and_tables_are_rendered(site: Path) -> None:
    # GitHub sees a list without an empty line above it; Python-Markdown sees a paragraph
    broken = []
    for file in site.rglob("*.html"):
        text = re.sub(r"<(pre|figure)\b.*?</\1>", "", file.read_text(), flags=re.DOTALL)
        paragraphs = re.findall(r"<p>(.*?)</p>", text, re.DOTALL)
        broken += [
            (file.parent.name, p) for p in paragraphs if re.search(r"(^|\n)\s*([*-] |\d+\. |\||```)", p)
        ]
    assert broken == []


def test_the_search_has_an_index(site: Path) -> None:
    assert (site / "search" / "search_index.json").stat().st_size > 100_000
