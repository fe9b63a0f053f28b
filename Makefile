# Everything a developer does, from a fresh clone with Python >= 3.11 and a POSIX shell.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
LANGUAGES := $(VENV)/.languages
COMPILE := $(BIN)/python -m uv pip compile --generate-hashes --universal --no-emit-index-url --no-header --quiet

.PHONY: setup languages demo test again simulate lint format bench models requirements clean
.DELETE_ON_ERROR:

$(PEERS): requirements/bench.txt $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	touch $@

languages: $(LANGUAGES) ## Install Go and componentize-py, for the tests that build handlers in these languages

$(LANGUAGES): requirements/languages.txt $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/languages.txt
	touch $@

setup: $(READY) ## Make .venv with pinned, hash-checked dependencies

$(READY): requirements/dev.txt requirements/guests.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/guests.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY) ## Start the cluster, run Wasm pods on it with real kubectl, and stop it again
	$(BIN)/python examples/demo/demo.py

test: $(READY) ## Run all tests
	$(BIN)/python -m pytest -n auto --dist loadgroup

again: $(READY) ## Run alone what failed: a test that passes now depends on the machine's load, and is to be mended
	$(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none

simulate: $(READY) ## A controller against the embedded API server while everything goes wrong: 2,000 seeds
	$(BIN)/python -m proa.runtime.testing examples/operators/copier.py:COPYING \
	  --server proa.controlplane.testing:SimulatedServer --seeds 2000

simulate-cluster: $(READY) ## Controllers, scheduler and kubelets while everything goes wrong: 2,000 seeds each, some 15 min
	$(BIN)/python -m proa.runtime.testing tests/controllers/test_simulation.py:CLUSTER --seeds 2000
	$(BIN)/python -m proa.runtime.testing tests/controllers/test_workload_simulation.py:WORKLOADS --seeds 2000

lint: $(READY) ## Formatting, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(READY) $(PEERS) ## Print the figures of docs/benchmarks.md
	$(BIN)/python -m bench

models: $(READY) ## Generate proa.kube.models anew
	$(BIN)/python tools/generate_models.py

requirements: $(READY) ## Pin the newest versions that pyproject.toml admits
	$(COMPILE) pyproject.toml --group dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml --group bench -c requirements/dev.txt -o requirements/bench.txt
	$(COMPILE) --group guests --no-deps -o requirements/guests.txt
	$(COMPILE) --group languages --no-deps -o requirements/languages.txt

clean:
	rm -rf $(VENV) .proa .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
