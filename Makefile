# Everything a fresh machine needs: Python 3.11 or newer, make, and a package index.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
ARGS ?=

.PHONY: help run test lowest lint types contract docs bench check clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.developer: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

run: $(VENV)/.installed ## Train ImageNet -> single cell -> multi-cell on rendered smears and write the report
	$(BIN)/mtl run --stages 1,2,3 $(ARGS)

test: $(VENV)/.developer ## Run the tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

$(LOWEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip uv
	# An excluded version splits a range in two, and uv begins with the upper one.
	sed 's/,!=2.13.0//' pyproject.toml > $(LOWEST)/pyproject.toml
	$(LOWEST)/bin/uv pip compile --quiet --extra clean --extra dashboard --extra export --extra federated --extra logger --extra postgresql --extra ray --extra serve --resolution lowest-direct --output-file $(LOWEST)/lowest.txt $(LOWEST)/pyproject.toml
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/lowest.txt --editable '.[dev]'
	touch $@

lowest: $(LOWEST)/.installed ## Run the tests with the oldest packages that pyproject.toml allows
	# What old packages warn of is theirs.
	$(LOWEST)/bin/python -m pytest --numprocesses auto --dist loadfile --override-ini filterwarnings=default $(ARGS)

lint: $(VENV)/.developer ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developer ## Check types
	$(BIN)/mypy

contract: $(VENV)/.developer ## Check that imports go down only
	$(BIN)/lint-imports

docs: $(VENV)/.developer ## Write docs/cli.md from the commands
	$(BIN)/python docs/make_cli.py

bench: $(VENV)/.developer ## Measure us against peers, side by side
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

check: lint types contract test ## All of what CI checks

clean: ## Remove the environment and what builds left
	rm -rf $(VENV) $(LOWEST) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
