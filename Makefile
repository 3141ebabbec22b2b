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
.PHONY: help venv run test test-slow kill kill-schedulers faults bench bench-triggers bench-fairness bench-growth bench-scaling schemathesis generated-client mutation histories check format lock clean

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

# Most tests wait for servers, so three processes keep two cores busy; each of them has servers of its own (1.5 GB).
WORKERS ?= 3

test: $(STAMP) ## all tests, on real servers; WORKERS=N for another number of processes, 0 for none beside
	$(BIN)/python -m pytest -n $(WORKERS)

kill: $(STAMP) ## 200 executions while one of two workers is killed by kill -9, 60 times; SEED=N for other moments
	$(BIN)/python -m tests.faults.kill_workers --executions 200 --kills 60 --seed $(or $(SEED),1)

kill-schedulers: $(STAMP) ## 25 schedules fire 10 times each while two schedulers are killed by kill -9; SEED=N for other moments
	$(BIN)/python -m tests.faults.kill_schedulers --seed $(or $(SEED),1)

faults: $(STAMP) ## every fault at CI size; ROW=name, SEED=N, FULL=1 for the full size, of which finished parts are kept
	$(BIN)/python -m tests.faults run $(if $(FULL),--full) $(if $(ROW),--only $(ROW)) --seed $(or $(SEED),1)

edit-schedules: $(STAMP) ## 500 edits of schedules while schedulers and Temporal are killed by kill -9; SEED=N for others
	$(BIN)/python -m tests.faults.edit_schedules --seed $(or $(SEED),1)

bench: $(STAMP) ## the same graphs by hand and through StructForge, with ratios and bars; WFFORMAT=FILE adds one
	$(BIN)/python -m benchmarks compare --graphs one,chain,fan,layered,large,foreach $(if $(WFFORMAT),--wfformat $(WFFORMAT))

bench-fairness: $(STAMP) ## what one tenant waits while another has 10,000 nodes in the queue
	$(BIN)/python -m benchmarks.fairness

bench-growth: $(STAMP) ## cost by size: 100 to 10,000 nodes, 1,000 to 100,000 executions on record; exponents and pages
	$(BIN)/python -m benchmarks.growth

bench-scaling: $(STAMP) ## 1, 2 and 4 workers; starts by API for SECONDS=600; I/O nodes beside hand-written; memory
	$(BIN)/python -m benchmarks.scaling --seconds $(or $(SECONDS),600)

bench-triggers: $(STAMP) ## from a call of a webhook until the first node runs, with ratios to a start by hand
	$(BIN)/python -m benchmarks.trigger_latency

mutation: $(STAMP) ## change permissions, crypto and graph state a little; at least 85 % must be noticed; ONLY=dag SAMPLE=200
	nice $(BIN)/python -m tests.mutation --only "$(ONLY)" --sample $(or $(SAMPLE),0) --jobs $(or $(JOBS),2)

test-slow: $(STAMP) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow -o faulthandler_timeout=3600

schemathesis: $(STAMP) ## 200 generated requests to every operation of the API; CASES=N for another number
	SCHEMATHESIS_CASES=$(or $(CASES),200) $(BIN)/python -m pytest tests/api/test_schemathesis.py

generated-client: docs/openapi.json ## a client of docs/openapi.json by openapi-python-client, in an environment of its own
	$(PYTHON) -m venv .generated-client/venv
	.generated-client/venv/bin/python -m pip install --quiet 'openapi-python-client>=0.29,<1'
	.generated-client/venv/bin/openapi-python-client generate --overwrite --fail-on-warning --meta none \
		--path docs/openapi.json --config docs/client-generator.yaml --output-path .generated-client/structforge_api
	.generated-client/venv/bin/python -c 'import sys; sys.path.insert(0, ".generated-client"); import structforge_api.models'

histories: $(STAMP) ## add the Temporal histories of new tests to those that must replay; AS=LABEL adds one of every test
	$(BIN)/python -m tests.replay.record $(if $(AS),--as $(AS))

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
