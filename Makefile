# Everything from a machine with Python 3.11+ and make:  make run   |   make test   |   make check
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What the environment is made of; it is built again when one of them changes.
STAMP := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# An environment that happens to be active must not receive the packages.
unexport VIRTUAL_ENV PYTHONHOME

# uv, because it takes half the time; pip where uv finds no way, for pip alone knows the machine's pip settings.
install = { test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet 'uv>=0.5'; } && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(1) || \
	{ echo "uv did not succeed; trying pip ..." >&2; $(BIN)/python -m pip install --quiet $(1); }

.DEFAULT_GOAL := help
.PHONY: help venv run test test-slow kill kill-schedulers bench schemathesis generated-client histories check format lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

venv: $(STAMP) ## the environment in .venv

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "StructForge needs Python 3.11 or newer ('$(PYTHON)' is not); try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) (half a minute the first time) ..."
	@$(call install,--require-hashes -r requirements.lock)
	@$(call install,--no-deps --no-build-isolation --editable .)
	@touch $@

run: $(STAMP) ## the whole system, the example workflow on it, then serve until Ctrl-C
	@exec $(BIN)/structforge up --demo

test: $(STAMP) ## all tests, on real servers
	$(BIN)/python -m pytest

kill: $(STAMP) ## 200 executions while one of two workers is killed by kill -9, 60 times; SEED=N for other moments
	$(BIN)/python -m tests.faults.kill_workers --executions 200 --kills 60 --seed $(or $(SEED),1)

kill-schedulers: $(STAMP) ## 25 schedules fire 10 times each while two schedulers are killed by kill -9; SEED=N for other moments
	$(BIN)/python -m tests.faults.kill_schedulers --seed $(or $(SEED),1)

bench: $(STAMP) ## the same graphs by hand and through StructForge, with ratios and bars; WFFORMAT=FILE adds one
	$(BIN)/python -m benchmarks compare $(if $(WFFORMAT),--wfformat $(WFFORMAT))

test-slow: $(STAMP) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

schemathesis: $(STAMP) ## 200 generated requests to every operation of the API; CASES=N for another number
	SCHEMATHESIS_CASES=$(or $(CASES),200) $(BIN)/python -m pytest tests/api/test_schemathesis.py

generated-client: docs/openapi.json ## a client of docs/openapi.json by openapi-python-client, in an environment of its own
	$(PYTHON) -m venv .generated-client/venv
	.generated-client/venv/bin/python -m pip install --quiet 'openapi-python-client>=0.29,<1'
	.generated-client/venv/bin/openapi-python-client generate --overwrite --fail-on-warning --meta none \
		--path docs/openapi.json --config docs/client-generator.yaml --output-path .generated-client/structforge_api
	.generated-client/venv/bin/python -c 'import sys; sys.path.insert(0, ".generated-client"); import structforge_api.models'

histories: $(STAMP) ## record the Temporal histories that must replay anew
	$(BIN)/python -m tests.replay.record --fresh

check: $(STAMP) ## lint, format, types, import contracts, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/architecture

format: $(STAMP) ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Nothing of the machine that made it stands in the lock: no index, no folder of wheels.
lock: $(STAMP) ## requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade --output-file requirements.lock

clean: ## remove environment and caches; the data folder stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis
