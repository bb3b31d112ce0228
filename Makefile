# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-long lint clean

demo: $(VENV)/.installed
	$(BIN)/tween demo -o tween-demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxfail=20 -m "not slow and not long"

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal --maxfail=20 --durations=15 -m "slow and not long"

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --timeout 1200 -o faulthandler_timeout=1500 -m long

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e ".[dev]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) tween-demo .pytest_cache .mypy_cache .ruff_cache
