# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 7860

.PHONY: demo test test-slow check lint format types contracts install install-demo install-dev space clean

demo: install-demo  ## the web page, on http://127.0.0.1:$(PORT)
	PORT=$(PORT) $(BIN)/python app.py

test: install-dev  ## lint, format check, types, import contracts, tests: a worker on every core
	$(MAKE) --jobs=2 --output-sync check
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

test-slow: install-dev  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

check: lint types contracts

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-dev
	$(BIN)/mypy

contracts: install-dev
	$(BIN)/lint-imports

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed
install-demo: $(VENV)/.installed-demo
install-dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: requirements-demo.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -r requirements-demo.txt
	@touch $@

$(VENV)/.installed: requirements.txt requirements-demo.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $(VENV)/.installed-demo $@

$(VENV)/.installed-dev: requirements.txt requirements-demo.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $(VENV)/.installed-demo $(VENV)/.installed $@

space: install  ## ready-to-push Hugging Face Space folders: space/ and space-study/
	$(BIN)/python -m chromagan.demo.space -o space

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
