# What a developer does here. Needs Python 3.11 and make; no compiler, no root, no container.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
TESTS ?= tests
ifdef STAY
DEMO_OPTIONS := --stay
endif

.PHONY: help setup check test demo up bench schemas operations faults endurance lock

help: ## list what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: $(STAMP) ## install the locked dependencies and this project into .venv

# Wheels only, each checked against the lock; then the project itself, with the build tools the lock names.
$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
		|| { echo "Python 3.11 or 3.12 is needed, $(PYTHON) is another: make setup PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

check: setup ## style, types, import rules, fresh generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m operations._schemas --check
	$(BIN)/python -m infra.dictionary --check

test: setup ## every test, against containers if an engine answers, else against the embedded stack (TESTS=path for some)
	@$(BIN)/python -m infra.embedded.warmth
	$(BIN)/pytest $(TESTS)

demo: setup ## one night of 200 simulated meters, from nothing to SQL (STAY=1 keeps it running)
	$(BIN)/meterlog demo $(DEMO_OPTIONS)

up: setup ## Kafka, ClickHouse and every role, until Ctrl-C
	$(BIN)/meterlog up

bench: setup ## measure, each figure beside its peer; see docs/benchmarks.md
	$(BIN)/python -m benchmarks

schemas: setup ## write the generated files anew: Avro schemas, AsyncAPI, the data dictionary
	$(BIN)/python -m operations._schemas
	$(BIN)/python -m infra.dictionary

operations: setup ## try every operation on a simulated meter of every profile, and write docs/operations.md of what came of it
	$(BIN)/python -m tests.simulator.operations_page

faults: setup ## the long runs: kill -9 at every step and everywhere under load; see docs/promises.md (not part of make test)
	$(BIN)/pytest -m faults $(TESTS)

endurance: setup ## two hours of mixed load: what grows, and whether the promises hold; see docs/promises.md (MINUTES=20 for less)
	$(BIN)/python -m benchmarks.endurance --minutes $(or $(MINUTES),120)

COMPILE := uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --universal --python-version 3.11 --no-header --quiet

lock: ## resolve both locks anew from pyproject.toml (needs uv, which setup does not install)
	$(COMPILE) --all-extras -o requirements.lock
	$(COMPILE) --extra build -o requirements-image.lock
