"""The page about the WebSocket protocol: its examples get the answers that it shows, and its tables are complete."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import msgspec
import pytest

from asynqio.gateway.asynq import answers, requests
from tests.gateway.asynq.client import ProtocolClient
from tests.gateway.running import RunningGateway
from tests.pages import ROOT, blocks_of, tables_of

NO_TASK = {"type": "dequeue_result", "data": None}
PAGE = ROOT / "docs" / "protocol.md"
TYPES = {str(kind.__struct_config__.tag): kind for kind in get_args(requests.AnyRequest)}
ANSWERS = {
    *("task_info", "dequeue_result", "success", "pong", "error", "cancellation", "groups_list"),
    *("aggregation_set_id", "aggregation_set", "lease_expired_tasks"),
}


class Example(NamedTuple):
    """A request, and the messages that follow on it."""

    request: dict[str, Any]
    messages: list[dict[str, Any]]


def examples() -> Iterator[Example]:
    """All examples in their order. A message that begins with `> ` or `< ` continues on indented lines."""
    example: Example | None = None
    for block in blocks_of(PAGE):
        for text in re.findall(r"^[<>] .*(?:\n {2}.*)*", block.text, re.MULTILINE):
            message = json.loads(text[2:])
            if text[0] == "<":
                assert example is not None
                example.messages.append(message)
                continue
            if example is not None:
                yield example
            example = Example(message, [])
    assert example is not None
    yield example


EXAMPLES = list(examples())


async def test_every_example_gets_the_answer_of_the_page(gateway: RunningGateway) -> None:
    #: What the gateway generated, by what the page shows instead.
    generated: dict[str, str] = {}

    def replaced(message: dict[str, Any]) -> Any:
        text = json.dumps(message)
        for shown, real in generated.items():
            text = text.replace(shown, real)
        return json.loads(text)

    async with ProtocolClient(gateway.address) as client, asyncio.timeout(60):
        for request, shown in EXAMPLES:
            await client.send(json.dumps(replaced(request)))
            received = [await client.receive() for _ in shown]
            while received == [NO_TASK] != shown:  # a task that is due becomes pending within a second
                await asyncio.sleep(0.05)
                await client.send(json.dumps(replaced(request)))
                received = [await client.receive()]
            # A cancellation overtakes the answer, or follows it.
            received.sort(key=lambda message: message["type"] == "cancellation")
            for message, expected in zip(received, shown, strict=True):
                match message, expected:
                    case {"data": {"id": str(real)}}, {"data": {"id": str(example)}} if "-ced2-" in example:
                        generated[example] = real
                    case {"type": "aggregation_set_id", "data": str(real)}, {"data": str(example)}:
                        generated[example] = real
                assert message == replaced(expected), request


def test_the_examples_show_every_type() -> None:
    assert {example.request["type"] for example in EXAMPLES} == TYPES.keys()
    assert {message["type"] for example in EXAMPLES for message in example.messages} == ANSWERS


def fields_of(kind: type) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


@pytest.mark.parametrize("name", TYPES)
def test_the_page_names_every_field_of_a_request(name: str) -> None:
    text = PAGE.read_text()
    assert re.search(rf"`{name}`|^### {name}$", text, re.MULTILINE)
    data = fields_of(TYPES[name])["data"]
    if data is not type(None):
        assert [field for field in fields_of(data) if f"`{field}`" not in text] == []


def test_the_tables_have_the_fields_of_new_tasks_and_records() -> None:
    cells = {name for row in tables_of(PAGE) for name in re.findall(r"\w+", row[0])}
    assert fields_of(requests.NewTask).keys() <= cells
    assert fields_of(requests.RunningTask).keys() <= set(re.findall(r"`(\w+)`", PAGE.read_text()))
    assert fields_of(answers.TaskRecord).keys() <= cells
    assert fields_of(answers.AcceptedTask).keys() <= cells
