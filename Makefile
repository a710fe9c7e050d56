# Every target sets up what it needs in .venv; only Python >= 3.11 and make are asked for.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean

help:  ## show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[embedded]" --group dev
	@touch $@

demo: $(READY)  ## the whole system on a real Kafka, one worker killed on the way, books balanced
	$(BIN)/wardstock demo

test: $(READY)  ## all tests, on a real Kafka and a real registry
	$(BIN)/python -m pytest

check: $(READY)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## the engine beside a bare loop; writes bench/results.json
	$(BIN)/python -m bench

clean:  ## remove the virtual environment and all caches of this tree
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
