# make demo: the main job (batch norm against network deconvolution on an embedded data set)
# make test: lint, format, types, tests
# make fuzz: 10,000 random layers against a float64 oracle, in child processes; the result goes to results/checks
# Both create .venv and install into it when pyproject.toml is newer than the last installation.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test fuzz lint clean

demo: $(VENV)/.installed-train
	$(BIN)/netdeconv compare

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

fuzz: $(VENV)/.installed-dev
	$(BIN)/python tests/fuzz/run.py --count 10000 --result results/checks/fuzz.json

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One pip call for everything, so that torch and torchvision are resolved to builds that match.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -e '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV)
