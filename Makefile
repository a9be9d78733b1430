# `make help` lists what there is. Needs Python 3.11 to 3.13 and nothing else: everything is installed into .venv,
# from PyPI, by hash-locked requirements.

VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new and not too new; on macOS `python3` is often older.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
# Arguments for pytest: `make test T="tests/unit -k calendar"`.
T ?=
# How many processes the tests run in: one more than two cores, since half of their time is waiting.
N ?= 3
# Else every process of the tests would compile everything, assertions included, anew.
unexport PYTHONDONTWRITEBYTECODE
# `make bench B=postgres`.
B ?=
# `make run ONCE=1` ends after the story, with 0 if every expectation held.
ONCE ?=

.DEFAULT_GOAL := help
.PHONY: help run test trials lint gen check-gen conformance chaos servers test-servers mutants bench lock images deploy-test clean

##@ Use
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Start the whole platform here and show a request of each kind; ONCE=1: then end
	@exec $(BIN)/python -m deploy.local $(if $(ONCE),--once)

clean: ## Remove what was installed, generated or stored here
	@if [ -L .data/postgres ]; then rm -rf "$$(readlink .data/postgres)"; fi
	rm -rf $(VENV) .build .data dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +

##@ Develop
test: $(VENV)/.dev ## Run the tests, in three processes; T="…" are arguments for pytest, N=0: in one
	$(BIN)/pytest -n $(N) --dist loadfile --no-loadscope-reorder $(T)

trials: $(VENV)/.dev ## Run the long tests that `make test` leaves out
	$(BIN)/pytest -m long $(T)

conformance: $(VENV)/.dev ## Run the connector contract against every connector and print one table; what isn't there is named
	$(BIN)/pytest -p tests.conformance.table -n $(N) --dist loadfile --no-loadscope-reorder -k "keeps_the_contract or test_conformance" tests/conformance tests/servers $(T)

chaos: $(VENV)/.dev ## Kill processes in the middle of their work and see that nothing is lost
	$(BIN)/pytest tests/chaos -m "" $(T)

servers: $(VENV)/.dev ## Install (as root) and start S3, Swift, MariaDB, Redis and Prometheus on loopback, for test-servers
	scripts/servers.sh start

test-servers: $(VENV)/.dev ## Run the tests against real servers but for the contract; what isn't there is skipped by name
	$(BIN)/pytest -n $(N) --dist loadfile --no-loadscope-reorder -k "not keeps_the_contract" tests/servers $(T)

mutants: $(VENV)/.dev ## Plant faults in a copy, one at a time, and see that the tests notice each
	$(BIN)/python -m tests.mutants $(T)

bench: $(VENV)/.dev ## Measure what the documents claim about speed; B=postgres: only this one
	@for name in $(or $(B),$(basename $(notdir $(wildcard bench/[a-z]*.py)))); do $(BIN)/python -m bench.$$name || exit 1; done

lint: $(VENV)/.dev check-gen ## Check style, types, import directions and contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	scripts/breaking.sh
	$(BIN)/python scripts/policy.py --check

gen: $(VENV)/.dev ## Generate code from protos/, and docs/policy.md from the tests
	scripts/gen.sh
	$(BIN)/python scripts/policy.py

check-gen: $(VENV)/.dev ## Fail if generated code isn't what protos/ says
	scripts/check-gen.sh

images: $(VENV)/.run ## Build the container image by podman or docker; scripts/images.sh says what can be set
	scripts/images.sh

deploy-test: $(VENV)/.dev ## Start the dev overlay by podman (as root, after make images), play the story through the edge, roll a service
	$(BIN)/python -m tests.cluster

lock: $(VENV)/.dev ## Lock requirements anew; P="name …" upgrades these, P=--upgrade all
	$(BIN)/pip install --quiet uv
	$(BIN)/python scripts/lock.py $(P)

# What is installed is remembered by stamps, so that the second time takes no time.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; give one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) lacks venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt requirements-build.txt pyproject.toml contracts/pyproject.toml | $(BIN)/python
	scripts/setup.sh requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-build.txt pyproject.toml contracts/pyproject.toml | $(BIN)/python
	scripts/setup.sh requirements-dev.txt
	@touch $@ $(VENV)/.run
