# Everything a developer does here. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_SECONDS ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check bench bench-redis bench-gateway docs docs-site package hooks fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "asynqio needs Python 3.11 or later; say which with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt --group dev -e '.[all]'
	@touch $@

demo: $(READY) ## see it work: queues, retries, results, live (DEMO_SECONDS=20 stops by itself)
	@$(BIN)/asynqio demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

test: $(READY) ## all tests; installs the servers they need, if it can
	@tests/services/install
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# `test_importing…` look at which modules a fresh process loads, and coverage loads some of its own.
coverage: $(READY) ## all tests under coverage; fails below the floor in pyproject.toml
	@tests/services/install
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal -k "not test_importing" $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage xml --quiet --fail-under=0
	$(BIN)/coverage report

check: $(READY) ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

bench: $(READY) ## throughput, latency and memory per broker
	$(BIN)/python -m benchmarks $(ARGS)

bench-redis: $(READY) ## the Redis broker beside Go's asynq and eight Python queues (ARGS="--quick")
	$(BIN)/python -m benchmarks.redis $(ARGS)

bench-gateway: $(READY) ## the gateway beside a bare echo on the same WebSocket server
	$(BIN)/python -m benchmarks.gateway $(ARGS)

docs: $(READY) ## check the documentation: links, drawings, snippets
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_examples.py

docs-site: $(READY) ## build the documentation site into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

package: $(READY) ## build the sdist, and from it the wheel, into dist/
	rm -rf dist
	$(BIN)/uv build --quiet
	@ls -1 dist

hooks: $(READY) ## run the gates before each commit (git hooks, by pre-commit)
	$(BIN)/pre-commit install

fmt: $(READY) ## format the code, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the virtual environment, all caches and what was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* coverage.xml htmlcov site dist
