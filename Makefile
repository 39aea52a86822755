# Every command of the project. `make` alone prints what there is, from the comments below.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
# Whose environment that is; without one the first that is new enough.
PYTHON ?=
BIN := $(VENV)/bin
# As many workers as tests/support/side_by_side.py says.
PYTEST := $(BIN)/pytest -n auto
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Extra arguments of a command: make run ARGS=--demo, make test ARGS="-k refund". Tests run side by
# side, and one after the other with ARGS=-n0.
ARGS ?=

.PHONY: help deps lock build check format test test-unit test-integration test-long test-browser \
	test-pythons test-all ablations run run-api run-relay run-worker migrate-up migrate-down docker-up docker-down \
	bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

deps: $(VENV)/.deps ## Create .venv and install everything, tools and tests included

lock: $(VENV)/.deps ## Resolve pyproject.toml anew into the hashed requirements files
	@compile() { \
		$(BIN)/uv pip compile pyproject.toml requirements.in --extra embedded "$$@" --universal \
			--python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
			--custom-compile-command "make lock" $(ARGS); \
	}; \
	compile --extra dev --output-file requirements-dev.txt; \
	compile --constraints requirements-dev.txt --output-file requirements.txt

build: $(VENV)/.deps ## Build the wheel into dist/
	@# What an earlier build left there would be in the wheel, too.
	@rm -rf build
	@$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

check: $(VENV)/.deps ## Lint, formatting, types, import contracts and SQL
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/sqlfluff lint --disable-progress-bar migrations store/sql

format: $(VENV)/.deps ## Format the code and repair what ruff can
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

test: $(VENV)/.deps ## Run every test but those marked long
	$(PYTEST) $(ARGS)

test-unit: $(VENV)/.deps ## Run the tests that need no server
	$(PYTEST) tests/unit tests/project $(ARGS)

test-integration: $(VENV)/.deps ## Run the tests on embedded servers and on the real processes
	$(PYTEST) tests/integration tests/acceptance $(ARGS)

test-long: $(VENV)/.deps ## Run the tests that take minutes
	$(BIN)/pytest -m long $(ARGS)

test-browser: $(VENV)/.deps ## Run the tests of the console in the Chromium on the PATH
	$(BIN)/pytest -m browser $(ARGS)

test-pythons: $(VENV)/.deps ## Run what is quick, and payments from end to end, on each other Python there is here
	@own=$$($(BIN)/python -c 'import sys; print(sys.version_info.minor)'); \
	for minor in 11 12 13; do \
		for python in python3.$$minor "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.$$minor.*/bin/python; do \
			if [ $$minor = $$own ] || ! "$$python" -c 'import venv' 2>/dev/null; then continue; fi; \
			$(MAKE) --no-print-directory test VENV=.venv-3.$$minor PYTHON="$$python" \
				ARGS="tests/unit tests/acceptance/test_payments.py $(ARGS)"; \
			break; \
		done; \
	done

test-all: test test-long ## Run all tests

ablations: $(VENV)/.deps ## Remove each safeguard from a copy and see a test fail (ARGS chooses some)
	$(BIN)/python -m tests.ablations $(ARGS)

run: $(VENV)/.run ## Run the whole platform on an embedded stack (ARGS=--demo adds traffic)
	@# In a terminal's foreground (ps says "+") the job gets a process group of its own: Ctrl-C
	@# then reaches the platform, which drains and exits 0, and not make, which would fail.
	@if ! ps -o stat= -p $$$$ 2>/dev/null | grep -q '+'; then \
		exec $(BIN)/python -m cli run $(ARGS); \
	fi; \
	set -m; $(BIN)/python -m cli run $(ARGS); exit $$?

run-api: $(VENV)/.run ## Run the HTTP ingress alone
	@$(BIN)/python -m api $(ARGS)

run-relay: $(VENV)/.run ## Run one relay alone (ARGS="--sink redis"; Kafka unless said)
	@$(BIN)/python -m topics.relay $(or $(ARGS),--sink kafka)

run-worker: $(VENV)/.run ## Run every stage but those that listen (ARGS names one)
	@$(BIN)/python -m agents $(or $(ARGS),all)

migrate-up: $(VENV)/.run ## Bring the configured database to the newest schema
	@$(BIN)/python -m cli migrate up $(ARGS)

migrate-down: $(VENV)/.run ## Take the newest migration back
	@$(BIN)/python -m cli migrate down $(ARGS)

docker-up: ## Start everything of docker-compose.yml and wait until it is healthy
	docker compose up --detach --build --wait

docker-down: ## Stop what docker-up started; its volumes stay
	docker compose down

bench: $(VENV)/.deps ## Measure; bench/README.md says what and how
	$(BIN)/python -m bench $(ARGS)

clean: ## Remove what was built or cached; .venv and the data in .payments stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A stamp is newer than what it was made from, so that a second `make run` installs nothing.
# --no-deps: the files name everything already, and hashes vouch for it.
$(VENV)/.run: requirements.txt pyproject.toml | $(VENV)/.made
	$(PIP) install --quiet --no-deps --require-hashes -r requirements.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.deps: requirements-dev.txt pyproject.toml | $(VENV)/.made
	$(PIP) install --quiet --no-deps --require-hashes -r requirements-dev.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.run $@

$(VENV)/.made:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 ''; do \
		if [ -z "$$python" ]; then \
			echo "Python 3.11 or newer is needed, and none is on the PATH (python3, python3.11 to python3.13)." >&2; \
			exit 1; \
		fi; \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	done; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make virtual environments: install its venv module (python3-venv on Debian)." >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv $(VENV)
	@touch $@
