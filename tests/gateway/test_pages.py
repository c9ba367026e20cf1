"""The pages about the HTTP side of the gateway: every route and every problem has a row."""

from __future__ import annotations

import re

from litestar.routes import HTTPRoute

from asynqio.gateway import GatewaySettings, create_app
from asynqio.gateway.problems import _UNKNOWN, KINDS
from tests.pages import ROOT

GUIDE = ROOT / "docs" / "guides" / "gateway.md"
PROBLEMS = ROOT / "docs" / "reference" / "problems.md"


def test_every_route_has_a_row() -> None:
    app = create_app(settings=GatewaySettings(insecure_no_auth=True))
    routes = {
        f"{method} {re.sub(r'{[^}]*}', '{}', route.path_format)}"
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods - {"OPTIONS"}
    }
    listed = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^?`]*)", GUIDE.read_text())
    assert routes == {re.sub(r"{[^}]*}", "{}", row) for row in listed}


def test_every_problem_has_a_row() -> None:
    rows = re.findall(r'^\| <a id="([\w-]+)"></a>`([\w-]+)` \| (\w+) \|', PROBLEMS.read_text(), re.MULTILINE)
    assert all(anchor == name for anchor, name, _ in rows)
    kinds = {kind.name: str(kind.status) for kind in (*KINDS.values(), _UNKNOWN)}
    assert {name: status for _, name, status in rows} == {**kinds, "http": "4xx"}
