"""Random sequences of all operations, on every broker, compared with a model: rule 1 and all others.

`ASYNQIO_MODEL_EXAMPLES=2000` makes a long run.
"""

from __future__ import annotations

import inspect
import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from tests.conformance.model_based import (
    admin_operations,
    document_operations,
    group_operations,
    task_operations,
)
from tests.conformance.model_based.comparison import compare
from tests.conformance.model_based.machine import OPERATIONS, Machine

EXAMPLES = os.environ.get("ASYNQIO_MODEL_EXAMPLES", "")
#: Importing these modules registers their operations.
MODULES = (task_operations, group_operations, admin_operations, document_operations)


class StoreMachine(Machine):
    """Runs one random operation per step and then compares the broker with the model."""

    @initialize(data=st.data())
    def some_tasks(self, data: st.DataObject) -> None:
        task_operations.enqueue(self, data, 4)

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        possible = [op for op in OPERATIONS if not op.needs or getattr(self, op.needs)]
        chosen = data.draw(st.sampled_from([op for op in possible for _ in range(op.weight)]), "operation")
        arguments = {name: data.draw(strategy, name) for name, strategy in chosen.arguments.items()}
        if "data" in inspect.signature(chosen.run).parameters:
            arguments["data"] = data
        chosen.run(self, **arguments)

    @invariant()
    def the_broker_answers_as_the_model(self) -> None:
        self.run(compare(self))


def test_every_module_registers_operations() -> None:
    assert {op.run.__module__ for op in OPERATIONS} == {module.__name__ for module in MODULES}


@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_a_broker_does_what_the_model_does(kind: str) -> None:
    machine = type(f"StoreMachine_{kind}", (StoreMachine,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            # By default as many as each broker runs in a few seconds.
            max_examples=int(EXAMPLES or (60 if kind == "memory" else 15)),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
