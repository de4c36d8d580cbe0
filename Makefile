# Everything a developer does with this repository. It needs Python 3.11 or newer, make and git; the rest, hatch and what
# hatch installs, is fetched into the repository (.hatch and .venv) when it is first needed.

PYTHON ?= python3
HATCH_VERSION := 1.18.2

# All that hatch writes stays in the repository, and settings of the user's own don't reach it.
export HATCH_DATA_DIR := $(CURDIR)/.hatch/data
export HATCH_CACHE_DIR := $(CURDIR)/.hatch/cache
export HATCH_CONFIG := $(CURDIR)/.hatch/config.toml
# Environments have the Python that hatch itself runs on.
export HATCH_PYTHON := self

HATCH_READY := .hatch/bin/hatch-$(HATCH_VERSION)
HATCH := .hatch/bin/hatch --no-interactive
RUN := $(HATCH) run
PROTOBUFS := $(HATCH) run protobufs:python packages/jobworker-proto

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test fuzz crash-matrix units lint format certs cert gentestcert protobufs check-protobufs docs build soak bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z -]*:.*## / { printf "  make %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(HATCH_READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "jobworker needs Python 3.11 or newer, and '$(PYTHON)' is not that." >&2; \
	  echo "Name one that is: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@rm -rf .hatch .venv
	@$(PYTHON) -m venv .hatch || { \
	  echo "'$(PYTHON)' could not make a virtual environment; on Debian and Ubuntu, install python3-venv." >&2; \
	  exit 1; }
	@echo "Installing hatch $(HATCH_VERSION) into .hatch"
	@.hatch/bin/python -m pip install --quiet --disable-pip-version-check hatch==$(HATCH_VERSION)
	@touch $(HATCH_CONFIG) $@

setup: $(HATCH_READY) ## Make the development environment, .venv
	@$(RUN) python -c ''
	@echo "Ready: the commands jobworker-server, jobworker-cli and jobworker-pki are in .venv/bin."

demo: $(HATCH_READY) ## See a job started, streamed, queried and stopped over mutual TLS
	@$(RUN) python demo/demo.py

test: $(HATCH_READY) ## Run all tests; ARGS="-k name" chooses among them
	@$(RUN) pytest --numprocesses=auto $(ARGS)

fuzz: $(HATCH_READY) ## Try hostile input for minutes; make test tries some of it. JOBWORKER_FUZZ=N examples a test
	@JOBWORKER_FUZZ=$${JOBWORKER_FUZZ:-5000} $(RUN) pytest --numprocesses=auto --timeout=7200 -k fuzz packages $(ARGS)

crash-matrix: $(HATCH_READY) ## Kill each part of a job at every step of its life; make test does so at a sample of them
	@JOBWORKER_CRASH_EVERY=1 $(RUN) pytest --numprocesses=auto --timeout=1200 tests-e2e/crash $(ARGS)

units: $(HATCH_READY) ## Run docs/examples/systemd under systemd, in User-mode Linux; as root
	@PYTHONPATH=tests-e2e:packages/jobworker-lib/tests $(RUN) python -m units.run

lint: check-protobufs ## Check style, types, imports between packages, generated code and pages
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy packages/*/src
# Each on its own: there is more than one conftest.py.
	for directory in packages/*/tests packages/jobworker-proto packages/jobworker-cli/generate_docs.py tests-e2e benchmarks demo; do \
	  $(RUN) mypy $$directory || exit 1; \
	done
	$(RUN) lint-imports
	$(RUN) python packages/jobworker-cli/generate_docs.py --check

format: $(HATCH_READY) ## Format the code and mend what ruff can mend
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

certs cert gentestcert: certs/ca.pem ## Make development certificates in certs/, if there are none

certs/ca.pem: | $(HATCH_READY)
	@$(RUN) jobworker-pki init --dir certs

protobufs: $(HATCH_READY) ## Generate jobworker-proto's Python from its .proto files
	@$(PROTOBUFS)/generate.py

check-protobufs: $(HATCH_READY) ## Check the .proto files, what they break, and the code generated from them
	$(HATCH) run protobufs:buf lint packages/jobworker-proto
	$(PROTOBUFS)/check_breaking.py
	$(PROTOBUFS)/generate.py --check

docs: $(HATCH_READY) ## Generate docs/cli and the man pages of jobworker-cli
	@$(RUN) python packages/jobworker-cli/generate_docs.py

build: $(HATCH_READY) ## Build wheels and source distributions of all packages into dist/
	@rm -rf dist
	@$(HATCH) build --all

soak: $(HATCH_READY) ## Ten minutes of jobs, clients and random kills; ARGS="--minutes N" for more or less
	@PYTHONPATH=tests-e2e:packages/jobworker-lib/tests $(RUN) python -m soak.run $(ARGS)

bench: $(HATCH_READY) ## Measure start latency, throughput and memory
	@$(RUN) python benchmarks/run.py $(ARGS)

clean: ## Remove all that was built, installed or cached; certificates stay
	rm -rf .hatch .venv dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
