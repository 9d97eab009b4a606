# Everything that a person or CI does with this project. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
PMS ?= guestly
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
# pip warns once per wheel folder that its configuration names and that does not exist.
QUIETLY := 2>&1 | sed '/^WARNING: Location .* is ignored/d'

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "Variables: PYTHON=python3.13 (interpreter for setup), VENV=.venv, PMS=guesty (for demo, run, chaos), ARGS=\"…\" (for demo, run, test, migrate)"

.PHONY: setup
setup: $(STAMP) ## Create .venv and install the locked dependencies and the project

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) \
	  || { echo "venv is missing: install it first (Debian: apt-get install python3-venv)" >&2; exit 2; }
	@echo "Installing into $(VENV) …"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-dev.lock $(QUIETLY)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e . $(QUIETLY)
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Show it all with real processes: payments, faults, alerts, repair
	@$(BIN)/python -m outbox_worker.demo --pms $(PMS) $(ARGS)

.PHONY: run
run: $(STAMP) ## Keep the demo's stack up until Ctrl-C and print how to talk to it
	@$(BIN)/python -m outbox_worker.demo --pms $(PMS) --keep-running --port 8080 $(ARGS)

.PHONY: migrate
migrate: $(STAMP) ## Bring the database in DATABASE_URL up to date (ARGS=--dry-run to look first)
	@$(BIN)/outbox migrate $(ARGS)

.PHONY: test
test: $(STAMP) ## Run every test against a throw-away Postgres (or the one in TEST_DATABASE_URL)
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

.PHONY: test-all
test-all: ## Run every test on each Python and Postgres, the plans, PgBouncer and the mutants
	@tests/matrix.sh

.PHONY: test-docker
test-docker: $(STAMP) ## Run every test against a Postgres container (OUTBOX_TEST_IMAGE=postgres:16-alpine)
	@VENV=$(VENV) tests/docker/run.sh $(ARGS)

.PHONY: test-pooler
test-pooler: $(STAMP) ## Run every test through PgBouncer, with LISTEN and without (if it is installed)
	@VENV=$(VENV) tests/pooler/run.sh $(ARGS)

.PHONY: test-plans
test-plans: $(STAMP) ## Check the query plans on 1.2M rows, whatever the statistics say
	@OUTBOX_TEST_PLANS=1 $(BIN)/python -m pytest tests/plans $(ARGS)

.PHONY: test-systemd
test-systemd: $(STAMP) ## Boot a real systemd and run the units in it (root and systemd-container; else skipped)
	@VENV=$(VENV) tests/systemd/run.sh $(ARGS)

.PHONY: chaos
chaos: $(STAMP) ## Break everything at any moment: 20 seeds, 5,000 bookings (ARGS="--seed 7" for one)
	@$(BIN)/python -m tests.chaos --pms $(PMS) $(ARGS)

.PHONY: bench
bench: $(BENCH_STAMP) ## Measure it all, beside the peers if installed (ARGS="receiver light --rounds 3")
	@$(BIN)/python -m tests.benchmarks $(ARGS)

$(BENCH_STAMP): $(STAMP) requirements-bench.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-bench.lock $(QUIETLY)
	@touch $@

.PHONY: mutants
mutants: $(STAMP) ## Take the engine's rules out one by one and see a test fail
	@$(BIN)/python -m tests.mutants $(ARGS)

.PHONY: check
check: lint types imports units ## Run all static checks

.PHONY: fmt
fmt: $(STAMP) ## Format the code and apply safe fixes
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: lint
lint: $(STAMP) ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: $(STAMP) ## Check the types (mypy, strict)
	@$(BIN)/mypy

.PHONY: imports
imports: $(STAMP) ## Check which module may import which
	@$(BIN)/lint-imports --no-cache

.PHONY: units
units: $(STAMP) ## Check the systemd units (systemd-analyze verify and security)
	@$(BIN)/python -m pytest -q tests/architecture/test_units.py

.PHONY: lock
lock: ## Renew the lock files from pyproject.toml (needs uv; ARGS=--upgrade for newer versions)
	@command -v $(UV) >/dev/null || { echo "uv is needed: install it anywhere and say make lock UV=/path/to/uv" >&2; exit 2; }
	@$(LOCK) pyproject.toml -o requirements.lock
	@$(LOCK) --extra dev --extra demo pyproject.toml -o requirements-dev.lock
	@$(LOCK) --extra bench --constraint requirements-dev.lock pyproject.toml -o requirements-bench.lock
UV ?= uv
# --universal: one file for every platform and Python; neither header nor index, so no registry's address is kept.
LOCK = UV_PYTHON_DOWNLOADS=never $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-emit-index-url $(ARGS)

.PHONY: clean
clean: ## Remove the virtual environments, caches and build results
	@rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
