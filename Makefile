# Everything runs in .venv, made on first use and brought up to date when pyproject.toml or the pins change.
# PYTHON picks the interpreter: `make test PYTHON=python3.12`.

VENV := .venv
BIN := $(VENV)/bin
REFERENCE := .venv-reference
WANTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(WANTED)' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install -q -c constraints.txt --build-constraint constraints.txt
PYTEST := $(BIN)/python -m pytest
# Two workers were the fastest on two cores; a test file stays on one worker, so that models load once.
WORKERS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test slow check format api page pins bench bench-train bench-peers clean
.PHONY: format-gate lint-gate types-gate layers-gate dependencies-gate budgets-gate api-gate

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.runtime  ## Index Python's own documentation and search it
	@$(BIN)/gnomon demo

test: $(VENV)/.dev  ## Run the tests, all but the slow ones
	@$(PYTEST) -m "not slow" -n $(WORKERS) --dist loadfile

slow: $(VENV)/.dev  ## Run the slow tests
	@$(PYTEST) -m slow

check: format-gate lint-gate types-gate layers-gate dependencies-gate budgets-gate api-gate  ## Run every gate; make -k check goes on after a failure

format-gate: $(VENV)/.dev
	@$(BIN)/ruff format --check .

lint-gate: $(VENV)/.dev
	@$(BIN)/ruff check .

types-gate: $(VENV)/.dev
	@$(BIN)/mypy

layers-gate: $(VENV)/.dev
	@$(BIN)/lint-imports --no-logo

dependencies-gate: $(VENV)/.dev
	@$(BIN)/deptry src

budgets-gate: $(VENV)/.dev
	@$(BIN)/python tools/budgets.py

api-gate: $(VENV)/.dev
	@$(BIN)/python tools/api.py --check

format: $(VENV)/.dev  ## Format the code and make the fixes that are safe
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

api: $(VENV)/.dev  ## Write tests/house/public_api.txt anew after a wanted change
	@$(BIN)/python tools/api.py

page: web/node_modules/.made  ## Build the page of gnomon serve from web/ (needs node 20 and npm)
	@cd web && npm run --silent check && npm run --silent build

web/node_modules/.made: web/package.json web/package-lock.json
	@cd web && npm ci --silent
	@touch $@

pins: $(VENV)/.dev  ## Write constraints.txt anew with the newest releases
	@$(BIN)/python tools/pins.py

bench: $(VENV)/.dev $(REFERENCE)/.made  ## Run the benchmarks of speed and quality; results go to bench/results
	@$(BIN)/python -m bench install
	@set -e; for name in encode search; do $(BIN)/python -m bench $$name --reference-python $(REFERENCE)/bin/python; done
	@$(BIN)/python -m bench quality filters stages scan scan_costs callers million

bench-train: $(VENV)/.dev $(REFERENCE)/.made  ## Run the benchmarks of training, which take about two hours
	@$(BIN)/python -m bench train --reference-python $(REFERENCE)/bin/python
	@$(BIN)/python -m bench train_kinds words seen context
	@$(BIN)/python -m bench pages training-figures

# PEERS passes options on: make bench-peers PEERS="--set scifact --one-core"
bench-peers: $(VENV)/.dev  ## Compare with other libraries, each in its own environment; see docs/peers.md
	@$(BIN)/python -m bench peers $(PEERS)

clean:  ## Remove the environment and all caches
	rm -rf $(VENV) $(REFERENCE) .venv-peers web/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "gnomon needs Python 3.11, 3.12 or 3.13; python3 here is: $$(python3 --version 2>&1)." \
	  "Install one of them, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c '$(WANTED)' || { echo "gnomon needs Python 3.11, 3.12 or 3.13; $(PYTHON) is: $$($(PYTHON) --version 2>&1)." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No virtual environment could be made: is the" \
	  "python3-venv package installed?" >&2; exit 1; }
	@$(PIP) install -q -c constraints.txt --upgrade pip

# A stamp is written last, so that an interrupted set-up is done again.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing gnomon"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing gnomon and the development tools"
	@$(INSTALL) -e . --group dev
	@touch $@ $(VENV)/.runtime

# What the benchmarks compare with, in an environment of its own.
$(REFERENCE)/.made: bench/reference.txt constraints.txt | $(BIN)/python
	@echo "Installing the reference libraries of the benchmarks"
	@$(BIN)/python -m venv $(REFERENCE)
	@$(REFERENCE)/bin/python -m pip install -q -c constraints.txt -r bench/reference.txt
	@touch $@
