# Passerelle. Two commands for a newcomer: `make demo` and `make test`.
# Needs Python 3.11 or newer, make and a shell; everything else is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c docker/constraints.txt

# Who asks for no bytecode pays for it here: each test process would compile 450 modules anew, each server all of ours.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test check bench soak clean

demo: $(VENV)/.run
	@$(BIN)/passerelle demo $(ARGS)

# Three at a time on two cores: a third of the time a test waits for a server. Who is done takes from the others.
test: $(VENV)/.test
	@$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

check: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.test
	@$(BIN)/python -m tests.bench $(if $(ROWS),--rows $(ROWS)) $(ARGS)

soak: $(VENV)/.test
	@PASSERELLE_SOAK=1 $(BIN)/python -m pytest $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Passerelle needs Python 3.11 or newer: make PYTHON=python3.12 demo"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml docker/constraints.txt
	@echo "Installing Passerelle into $(VENV) (once) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo "Installing what the tests need into $(VENV) (once) ..."
	@$(PIP) -e ".[test]"
	@touch $@
