# make demo: the main job (batch norm against network deconvolution on an embedded data set)
# make test: lint, format, types, tests
# make fuzz: 10,000 random layers against a float64 oracle, in child processes; the result goes to results/checks
# make faults: hundreds of faults at random moments of training; its counts are in results/checks/faults.json
# make docs: the documentation as a site, in build/site
# make examples: the examples with the libraries that they are about, and other tests that are slow
# They create .venv and install into it when pyproject.toml is newer than the last installation.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint fuzz faults docs examples clean

demo: $(VENV)/.installed-train
	$(BIN)/netdeconv compare

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fuzz: $(VENV)/.installed-dev
	$(BIN)/python tests/fuzz/run.py --count 10000 --result results/checks/fuzz.json

faults: $(VENV)/.installed-dev
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m faults results/checks/faults.json

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python -m mkdocs build --strict --site-dir build/site

examples: $(VENV)/.installed-dev $(VENV)/.installed-examples
	NETDECONV_SLOW=1 $(BIN)/python -m pytest tests/examples tests/export tests/data

# One pip call for everything, so that torch and torchvision are resolved to builds that match.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -e '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV)
