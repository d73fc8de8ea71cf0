PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
PLUGINS := $(patsubst %/pyproject.toml,-e ./%,$(wildcard plugins/*/pyproject.toml))

# Where `make bench` saves its run.
OUT := .benchmarks/$(shell date -u +%Y%m%d-%H%M%S).json

.PHONY: help demo test lint docs format bench bench-compare clean

help:
	@echo "make demo    install, train three small models on synthetic faces, write board and pictures into demo/"
	@echo "make test    install with the dev extras, then lint, type check and all tests"
	@echo "make lint    ruff and mypy alone"
	@echo "make docs    the pages, with the API from its docstrings, into site/; warnings are errors"
	@echo "make format  sort imports and mend what ruff can mend"
	@echo "make bench   time the parts of merzoo into .benchmarks/, or OUT=FILE; make bench-compare A=FILE B=FILE tells what became slower"
	@echo "make clean   remove the virtual environment and caches"

demo: $(VENV)/.installed
	$(BIN)/python -m merzoo.demo --out demo

test: lint docs
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix

bench: $(VENV)/.installed-dev
	@mkdir -p $(dir $(OUT))
	$(BIN)/python -m pytest benchmarks/suites --benchmark-json=$(OUT)

bench-compare: $(VENV)/.installed-dev
	@$(BIN)/python benchmarks/compare.py $(A) $(B)

clean:
	rm -rf $(VENV) build site .mypy_cache .pytest_cache .ruff_cache

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
