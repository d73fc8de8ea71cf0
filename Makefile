PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
PLUGINS := $(patsubst %/pyproject.toml,-e ./%,$(wildcard plugins/*/pyproject.toml))

.PHONY: help demo test lint format clean

help:
	@echo "make demo    install, train three small models on synthetic faces, write board and pictures into demo/"
	@echo "make test    install with the dev extras, then lint, type check and all tests"
	@echo "make lint    ruff and mypy alone"
	@echo "make format  sort imports and mend what ruff can mend"
	@echo "make clean   remove the virtual environment and caches"

demo: $(VENV)/.installed
	$(BIN)/python -m merzoo.demo --out demo

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache

# bin/pip and not bin/python: where ensurepip is missing, venv leaves the latter behind and fails.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

# Core and plugins in one call: a plugin requires merzoo, and this checkout is what meets it.
$(VENV)/.installed: $(PROJECTS) | $(BIN)/pip
	$(BIN)/python -m pip install --disable-pip-version-check -q -e . $(PLUGINS)
	touch $@

$(VENV)/.installed-dev: $(PROJECTS) | $(BIN)/pip
	$(BIN)/python -m pip install --disable-pip-version-check -q -e ".[dev]" $(PLUGINS)
	touch $@ $(VENV)/.installed
